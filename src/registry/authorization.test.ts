import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readAtMost, streamOf } from '../base/index.ts'
import { type AuthorizationOptions, withAuthorization } from './authorization.ts'
import type { HttpRequest, HttpResponse, Send } from './send.ts'

const ORIGIN = 'https://r.example'
const REALM = 'https://auth.example/token'
const ANN = { username: 'ann', password: 's3cret' }

interface Answer {
  readonly status: number
  readonly headers?: HttpResponse['headers']
  readonly text?: string
}

/** Answers requests, and keeps them: what went where with which authorization. */
class Network {
  readonly requests: HttpRequest[] = []
  readonly #answer: (request: HttpRequest) => Answer | Promise<Answer>

  constructor(answer: (request: HttpRequest) => Answer | Promise<Answer>) {
    this.#answer = answer
  }

  readonly send: Send = async request => {
    this.requests.push(request)
    const { status, headers = {}, text = '' } = await this.#answer(request)
    return { status, headers, body: Object.assign(streamOf(Buffer.from(text)), { discard: async () => undefined }) }
  }

  /** Those to the token service. */
  get questions(): readonly HttpRequest[] {
    return this.requests.filter(({ url }) => url.href.startsWith(REALM))
  }
}

/** A registry that takes the tokens in `good`, and its token service that gives them: `t1`, `t2`, … */
function tokenNetwork(change: { readonly token?: object; readonly challenge?: string } = {}): {
  readonly network: Network
  readonly good: Set<string>
} {
  const good = new Set<string>()
  let count = 0
  const network = new Network(({ url, headers }) => {
    if (url.href.startsWith(REALM)) {
      const token = `t${(count += 1)}`
      good.add(token)
      return { status: 200, text: JSON.stringify({ token, expires_in: 300, ...change.token }) }
    }
    const held = /^Bearer (.*)$/.exec(headers['authorization'] ?? '')?.[1] ?? ''
    if (good.has(held)) return { status: 200 }
    return { status: 401, headers: { 'www-authenticate': change.challenge ?? `Bearer realm="${REALM}",service="s"` } }
  })
  return { network, good }
}

function session(network: Network, change: Partial<AuthorizationOptions> = {}): Send {
  return withAuthorization({ origin: ORIGIN, scope: 'repository:app:pull', credentials: ANN, ...change })(network.send)
}

const get = (path: string, more: Partial<HttpRequest> = {}): HttpRequest => ({
  method: 'GET',
  url: new URL(path, ORIGIN),
  headers: {},
  ...more,
})

const authorizations = (network: Network): readonly (string | undefined)[] =>
  network.requests.map(({ headers }) => headers['authorization'])

describe('withAuthorization()', () => {
  test('answers a challenge with a token, and uses it from then on', async () => {
    const { network } = tokenNetwork()
    const send = session(network)
    assert.equal((await send(get('/v2/app/tags/list'))).status, 200)
    assert.equal((await send(get('/v2/app/tags/list'))).status, 200)
    const [question] = network.questions
    assert.equal(question?.url.href, `${REALM}?service=s&scope=repository%3Aapp%3Apull&client_id=strata&account=ann`)
    const basic = `Basic ${Buffer.from('ann:s3cret').toString('base64')}`
    assert.deepEqual(authorizations(network), [undefined, basic, 'Bearer t1', 'Bearer t1'])
  })

  test('renews a token that the registry has stopped to take, once', async () => {
    const { network, good } = tokenNetwork()
    const send = session(network)
    await send(get('/1'))
    good.clear()
    assert.equal((await send(get('/2'))).status, 200)
    assert.deepEqual(authorizations(network).slice(3), ['Bearer t1', network.questions[0]?.headers['authorization'], 'Bearer t2'])
  })

  test('gives up when the new token is no better', async () => {
    const network = new Network(({ url }) =>
      url.href.startsWith(REALM)
        ? { status: 200, text: '{"token":"t"}' }
        : {
            status: 401,
            headers: { 'www-authenticate': `Bearer realm="${REALM}",error="insufficient_scope",scope="repository:app:push"` },
          },
    )
    assert.equal((await session(network)(get('/1'))).status, 401)
    assert.equal(network.requests.length, 3)
    assert.deepEqual(network.questions[0]?.url.searchParams.getAll('scope'), ['repository:app:pull,push'])
  })

  test('asks once for any number of requests that are refused together', async () => {
    const { network, good } = tokenNetwork()
    const send = session(network)
    const all = await Promise.all(Array.from({ length: 20 }, (_, n) => send(get(`/${n}`))))
    assert.ok(all.every(({ status }) => status === 200))
    assert.equal(network.questions.length, 1)
    good.clear()
    await Promise.all(Array.from({ length: 20 }, (_, n) => send(get(`/${n}`))))
    assert.equal(network.questions.length, 2)
  })

  test('takes the token that another request got while this one was refused', async () => {
    let good = 't1'
    const refusal = Promise.withResolvers<void>()
    const network = new Network(async ({ url, headers }) => {
      if (url.origin !== ORIGIN) return { status: 200, text: JSON.stringify({ token: good }) }
      if (headers['authorization'] === `Bearer ${good}`) return { status: 200 }
      if (url.pathname === '/late') await refusal.promise
      return { status: 401, headers: { 'www-authenticate': `Bearer realm="${REALM}"` } }
    })
    const send = session(network)
    await send(get('/1'))
    good = 't2'
    const late = send(get('/late'))
    await send(get('/2'))
    refusal.resolve()
    assert.equal((await late).status, 200)
    assert.equal(network.questions.length, 2)
  })

  test('renews a token whose time is nearly over before the request', async () => {
    const { network } = tokenNetwork({ token: { expires_in: 0 } })
    const send = session(network)
    for (let n = 0; n < 3; n += 1) await send(get('/1'))
    const refused = network.requests.filter(({ url }) => url.origin === ORIGIN).length - 3
    assert.deepEqual([network.questions.length, refused], [3, 1])
  })

  test('sends a body that is a stream once, and after a refusal with a token that is new', async () => {
    const { network, good } = tokenNetwork()
    const send = session(network)
    await send(get('/1'))
    good.clear()
    const put = (): HttpRequest => get('/upload', { method: 'PUT', body: streamOf(Buffer.from('x')) })
    assert.equal((await send(put())).status, 401)
    assert.equal(network.requests.filter(({ method }) => method === 'PUT').length, 1)
    assert.equal((await send(put())).status, 200)
    assert.deepEqual(
      network.requests.filter(({ method }) => method === 'PUT').map(({ headers }) => headers['authorization']),
      ['Bearer t1', 'Bearer t2'],
    )
  })

  test('asks for the source of a mount at once: not every registry says that it needs it', async () => {
    const { network } = tokenNetwork()
    const send = session(network, { scope: 'repository:app:pull,push' })
    await send(get('/v2/app/manifests/1'))
    await send(get('/v2/app/blobs/uploads/?mount=sha256%3Aab&from=base', { method: 'POST' }))
    await send(get('/v2/app/manifests/1'))
    assert.deepEqual(
      network.questions.map(({ url }) => url.searchParams.getAll('scope')),
      [['repository:app:pull,push'], ['repository:app:pull,push', 'repository:base:pull']],
    )
    assert.deepEqual(
      network.requests.filter(({ url }) => url.origin === ORIGIN).map(({ headers }) => headers['authorization']),
      [undefined, 'Bearer t1', 'Bearer t2', 'Bearer t1'],
    )
  })

  test('goes on without the source of a mount when the token service refuses it, and does not ask for it again', async () => {
    const { network } = tokenNetwork()
    const refusing = new Network(async request => {
      const isRefused = request.url.searchParams.getAll('scope').some(scope => scope.includes('base'))
      if (isRefused) return { status: 401 }
      const { status, headers, body } = await network.send(request)
      return { status, headers, text: (await readAtMost(body, 1000)).toString() }
    })
    const send = session(refusing)
    const mount = (): HttpRequest => get('/v2/app/blobs/uploads/?mount=sha256%3Aab&from=base', { method: 'POST' })
    await send(get('/1'))
    assert.equal((await send(mount())).status, 200)
    assert.equal((await send(mount())).status, 200)
    const asked = refusing.questions.map(({ url }) => url.searchParams.getAll('scope').length)
    assert.deepEqual(asked, [1, 2])
  })

  test('hostile #57: no other address gets what is for the registry, wherever it sends uploads to', async () => {
    const { network } = tokenNetwork()
    const send = session(network)
    await send(get('/1'))
    for (const elsewhere of ['https://b.example/x', 'https://r.example:444/x', 'https://sub.r.example/x', 'https://r.example.evil/x']) {
      const before = network.requests.length
      // Nor does it get a token for asking.
      assert.equal((await send({ method: 'PUT', url: new URL(elsewhere), headers: {} })).status, 401)
      assert.deepEqual(authorizations(network).slice(before), [undefined], elsewhere)
    }
  })

  test('hostile #58: a registry with TLS sends nobody to where there is none', async () => {
    const { network } = tokenNetwork()
    const send = session(network)
    for (const elsewhere of ['http://r.example/x', 'http://127.0.0.1/x', 'ftp://r.example/x'])
      await assert.rejects(send({ method: 'PUT', url: new URL(elsewhere), headers: {} }), { code: 'STRATA_REDIRECT_REFUSED' })
    assert.equal(network.requests.length, 0)
  })

  test('sends credentials as they are where the registry asks for that, and not again when they are refused', async () => {
    const network = new Network(() => ({ status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } }))
    const send = session(network)
    assert.equal((await send(get('/1'))).status, 401)
    assert.equal((await send(get('/2'))).status, 401)
    assert.equal(network.requests.length, 3)
    const nobody = session(network, { credentials: undefined })
    await assert.rejects(nobody(get('/1')), { kind: 'unauthorized', code: 'STRATA_UNAUTHORIZED' })
  })

  test('leaves a challenge alone that it cannot meet', async () => {
    const network = new Network(() => ({ status: 401, headers: { 'www-authenticate': 'Negotiate' } }))
    assert.equal((await session(network)(get('/1'))).status, 401)
    assert.equal(network.requests.length, 1)
  })
})

describe('the token service of a registry', () => {
  const TOKEN = { status: 200, text: '{"access_token":"t"}' }

  /** A registry that wants the token `t`, and a token service that answers so. */
  const serviceNetwork = (answer: (request: HttpRequest, count: number) => Answer, realm = REALM): Network => {
    let count = 0
    return new Network(request => {
      if (request.url.origin !== ORIGIN) return answer(request, (count += 1))
      if (request.headers['authorization'] === 'Bearer t') return { status: 200 }
      return { status: 401, headers: { 'www-authenticate': `Bearer realm="${realm}",service="s"` } }
    })
  }

  test('is asked by POST when it knows no GET', async () => {
    const network = serviceNetwork(({ method }) => (method === 'GET' ? { status: 405 } : TOKEN))
    assert.equal((await session(network)(get('/1'))).status, 200)
    const form = new URLSearchParams(Buffer.from(network.questions[1]?.body as Uint8Array).toString())
    assert.deepEqual(Object.fromEntries(form), {
      grant_type: 'password',
      username: 'ann',
      password: 's3cret',
      client_id: 'strata',
      service: 's',
      scope: 'repository:app:pull',
    })
  })

  test('is asked again when it says "later" (hostile #59)', async () => {
    const network = serviceNetwork((_, count) => (count === 1 ? { status: 503, headers: { 'retry-after': '0' } } : TOKEN))
    assert.equal((await session(network)(get('/1'))).status, 200)
  })

  test('is asked as nobody by who has no credentials', async () => {
    const network = serviceNetwork(() => TOKEN)
    assert.equal((await session(network, { credentials: undefined })(get('/1'))).status, 200)
    assert.deepEqual(
      network.questions.map(({ headers }) => headers['authorization']),
      [undefined],
    )
  })

  test('may answer anything: what is no token is told without its text', async () => {
    for (const text of ['', 'null', '[]', '"s3cret"', '{"token":1}', '{"token":""}', '{"token":"s3cret\\r\\nx: y"}', '{"token":"s3cret']) {
      await assert.rejects(session(serviceNetwork(() => ({ status: 200, text })))(get('/1')), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'STRATA_TOKEN_SERVICE', text)
        assert.doesNotMatch(`${error.stack} ${String(error.cause)}`, /s3cret/)
        return true
      })
    }
    await assert.rejects(session(serviceNetwork(() => ({ status: 200, text: ' '.repeat(1 << 20) })))(get('/1')), {
      code: 'STRATA_TOO_LARGE',
    })
    await assert.rejects(session(serviceNetwork(() => ({ status: 307, headers: { location: 'https://b.example' } })))(get('/1')), {
      code: 'STRATA_TOKEN_SERVICE',
    })
  })

  test('hostile #57: gets nothing at an address that is less safe than the registry', async () => {
    for (const realm of [
      'http://auth.example/token',
      'http://169.254.169.254/',
      'http://127.0.0.1/token',
      'https://u:p@auth.example/',
      'https://u@auth.example/',
      '//x',
      'x',
      '',
      'file:///x',
    ]) {
      const network = serviceNetwork(() => TOKEN, realm)
      await assert.rejects(session(network)(get('/1')), { kind: 'unauthorized', code: 'STRATA_TOKEN_REALM' }, realm)
      assert.equal(network.requests.length, 1, realm)
    }
  })

  test('hostile #57: is without TLS only where its registry is, and may be', async () => {
    const places: readonly (readonly [string, string, boolean])[] = [
      ['http://r.lan:5000', 'http://r.lan:5001/token', true],
      ['http://r.lan:5000', 'https://auth.example/token', true],
      ['http://127.0.0.1:5000', 'http://localhost:5001/token', true],
      ['http://r.lan:5000', 'http://auth.lan/token', false],
      ['http://r.lan:5000', 'http://127.0.0.1:80/token', false],
      ['http://127.0.0.1:5000', 'http://169.254.169.254/token', false],
    ]
    for (const [origin, realm, isTaken] of places) {
      const network = new Network(({ url, headers }) => {
        if (url.origin !== origin) return TOKEN
        if (headers['authorization'] === 'Bearer t') return { status: 200 }
        return { status: 401, headers: { 'www-authenticate': `Bearer realm="${realm}"` } }
      })
      const answer = session(network, { origin })({ method: 'GET', url: new URL('/1', origin), headers: {} })
      if (isTaken) assert.equal((await answer).status, 200, realm)
      else await assert.rejects(answer, { code: 'STRATA_TOKEN_REALM' }, realm)
      assert.equal(network.requests.length, isTaken ? 3 : 1, realm)
    }
  })
})
