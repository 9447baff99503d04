import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withRedirects } from './redirects.ts'
import type { HttpRequest, HttpResponse } from './send.ts'

/** Sends a request to a chain of addresses, each of which redirects to the next, and gives what each of them saw. */
async function follow(urls: readonly string[], status = 307, method: HttpRequest['method'] = 'GET'): Promise<readonly HttpRequest[]> {
  const seen: HttpRequest[] = []
  const send = withRedirects(async (request): Promise<HttpResponse> => {
    seen.push(request)
    const location = urls[seen.length]
    const body = Object.assign((async function* (): AsyncGenerator<Uint8Array> {})(), { discard: async () => undefined })
    return location === undefined ? { status: 200, headers: {}, body } : { status, headers: { location }, body }
  })
  const headers = { authorization: 'Basic x', cookie: 'y', 'proxy-authorization': 'z', accept: 'all' }
  await send({ method, url: new URL(urls[0]!), headers })
  return seen
}

const secrets = (request: HttpRequest | undefined): readonly string[] => Object.keys(request?.headers ?? {})

test('hostile #57: withRedirects() keeps credentials for the host that they are for: no other name, port or scheme gets them', async () => {
  for (const elsewhere of ['https://b.example/x', 'https://a.example:444/x', 'https://sub.a.example/x', 'https://a.example.evil/x']) {
    const [first, second] = await follow(['https://a.example/x', elsewhere])
    assert.deepEqual(secrets(first), ['authorization', 'cookie', 'proxy-authorization', 'accept'])
    assert.deepEqual(secrets(second), ['accept'], elsewhere)
  }
  assert.deepEqual(secrets((await follow(['http://a.example/x', 'https://a.example/x']))[1]), ['accept'])
  // And they do not come back by a way around.
  assert.deepEqual(secrets((await follow(['https://a.example/x', 'https://b.example/x', 'https://a.example/x']))[2]), ['accept'])
  assert.deepEqual(secrets((await follow(['https://a.example/x', '/y']))[1]), ['authorization', 'cookie', 'proxy-authorization', 'accept'])
})

test('hostile #57: withRedirects() goes from https to nothing but https', async () => {
  for (const location of ['http://a.example/x', 'http://127.0.0.1/x', 'ftp://a.example/x', 'file:///etc/passwd', 'data:,x'])
    await assert.rejects(follow(['https://a.example/x', location]), { code: 'STRATA_REDIRECT_REFUSED' }, location)
  await assert.rejects(follow(['http://a.example/x', 'https://b.example/x', 'http://c.example/x']), { code: 'STRATA_REDIRECT_REFUSED' })
})

test('withRedirects() follows reads only, and ten times at most', async () => {
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE'] as const)
    assert.equal((await follow(['https://a.example/x', 'https://b.example/x'], 307, method)).length, 1, method)
  for (const status of [301, 302, 303, 307, 308]) assert.equal((await follow(['https://a.example/x', '/y'], status)).length, 2)
  assert.equal((await follow(['https://a.example/x', '/y'], 304)).length, 1)
  const chain = Array.from({ length: 20 }, (_, n) => `https://a.example/${n}`)
  assert.equal((await follow(chain.slice(0, 11))).length, 11)
  await assert.rejects(follow(chain), { code: 'STRATA_REDIRECT_LOOP' })
})
