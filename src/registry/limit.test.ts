import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readAtMost, streamOf } from '../base/index.ts'
import { RateLimit, withRateLimit } from './limit.ts'
import type { HttpRequest, Send } from './send.ts'

const URL_OF = new URL('http://127.0.0.1/')
/** Takes what it is sent, and answers as much. */
const echo: Send = async ({ body }: HttpRequest) => {
  const bytes = body === undefined ? Buffer.alloc(0) : body instanceof Uint8Array ? body : await readAtMost(body, 1e9)
  const stream = streamOf(bytes)
  return { status: 200, headers: {}, body: Object.assign(stream, { discard: async () => undefined }) }
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return (performance.now() - began) / 1000
}

test('withRateLimit() holds what goes and what comes to one rate, over all connections', async () => {
  const bytes = Buffer.alloc(100_000, 1)
  const send = withRateLimit(new RateLimit(1_000_000))(echo)
  const exchange = async (body: HttpRequest['body']): Promise<void> => {
    const response = await send({ method: 'PUT', url: URL_OF, headers: {}, ...(body === undefined ? {} : { body }) })
    assert.ok((await readAtMost(response.body, 1e9)).equals(bytes))
  }
  // Twice 100 kB there and back.
  const took = await seconds(() => Promise.all([exchange(streamOf(bytes)), exchange(bytes)]))
  assert.ok(took > 0.39 && took < 1, `${took} s`)
})

test('withRateLimit() of a high rate costs nothing', async () => {
  const send = withRateLimit(new RateLimit(10e9))(echo)
  const chunks = Array.from({ length: 1000 }, () => Buffer.alloc(65_536))
  const took = await seconds(async () => {
    const response = await send({ method: 'PUT', url: URL_OF, headers: {}, body: streamOf(...chunks) })
    await readAtMost(response.body, 1e9)
  })
  assert.ok(took < 1, `${took} s`)
})

test('RateLimit waits no longer than until it is cancelled', async () => {
  const limit = new RateLimit(1)
  await assert.rejects(limit.pass(1000, AbortSignal.timeout(50)), { name: 'TimeoutError' })
})

test('RateLimit refuses what is no rate', () => {
  for (const rate of [0, -1, Number.NaN]) assert.throws(() => new RateLimit(rate), { kind: 'invalidArgument', code: 'STRATA_LIMIT_RATE' })
})
