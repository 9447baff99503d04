import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ByteStream, drain, readAtMost } from '../base/index.ts'
import { splitStream } from './splitStream.ts'

const CHUNK = Buffer.alloc(64 * 1024, 'x')

/** A source that counts how much of it was asked for, and tells when it was left. */
class Source {
  taken = 0
  left = false

  async *bytes(chunks: number, failure?: Error): AsyncGenerator<Uint8Array> {
    try {
      for (; this.taken < chunks; this.taken += 1) yield CHUNK
      if (failure !== undefined) throw failure
    } finally {
      this.left = true
    }
  }
}

async function takeOne(bytes: ByteStream): Promise<void> {
  for await (const _chunk of bytes) return
}

test('splitStream() gives both readers all bytes, at the pace of the slower one', async () => {
  const source = new Source()
  const [first, second] = splitStream(source.bytes(500))
  const whole = readAtMost(first, 1e9)
  await sleep(50)
  assert.ok(source.taken * CHUNK.length < 2 * 1024 * 1024, `${source.taken} chunks were read ahead`)
  assert.equal((await readAtMost(second, 1e9)).length, 500 * CHUNK.length)
  assert.equal((await whole).length, 500 * CHUNK.length)
  assert.ok(source.left)
})

test('splitStream() tells both readers of a failure of the source', async () => {
  const [first, second] = splitStream(new Source().bytes(3, new Error('the connection broke')))
  const outcomes = await Promise.allSettled([drain(first), drain(second)])
  for (const outcome of outcomes) assert.match(String((outcome as PromiseRejectedResult).reason), /the connection broke/)
})

test('splitStream() ends the second reader when the first one stops, and leaves the source', async () => {
  const source = new Source()
  const [first, second] = splitStream(source.bytes(1e6))
  const outcomes = await Promise.allSettled([takeOne(first), drain(second)])
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'rejected'],
  )
  assert.ok(source.left)
})

test('splitStream() ends a reader when the other one is given back without having been read', async () => {
  for (const unread of [0, 1]) {
    const source = new Source()
    const streams = splitStream(source.bytes(1e6))
    const reading = drain(streams[1 - unread]!)
    await streams[unread]![Symbol.asyncIterator]().return?.()
    await assert.rejects(reading, { code: 'STRATA_CANCELLED' })
  }
})

test('splitStream() ends the first reader when the second one stops, and leaves the source', async () => {
  const source = new Source()
  const [first, second] = splitStream(source.bytes(1e6))
  const [outcome] = await Promise.allSettled([drain(first), takeOne(second)])
  assert.equal((outcome as PromiseRejectedResult).reason.code, 'STRATA_CANCELLED')
  assert.ok(source.left)
})
