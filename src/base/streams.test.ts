import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { setTimeout as sleep } from 'node:timers/promises'
import { readAhead, release, sliceOf } from './index.ts'

test('sliceOf() gives the bytes of the part however they are cut, and asks for none behind it', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 9 })), fc.nat(40), fc.option(fc.nat(40)), async (chunks, start, end) => {
      let asked = 0
      const source = async function* (): AsyncGenerator<Uint8Array> {
        for (const chunk of chunks) {
          asked += chunk.length
          yield chunk
        }
      }
      const got = await Array.fromAsync(sliceOf(source(), end === null ? { start } : { start, end }))
      const whole = Buffer.concat(chunks)
      assert.deepEqual(Buffer.concat(got), whole.subarray(start, end === null ? undefined : Math.max(start, end)))
      if (end !== null && end <= start) assert.equal(asked, 0)
      else if (end !== null) assert.ok(asked < end + 9, `${asked} bytes were asked for, ${end} were wanted`)
    }),
  )
})

test('release() gives back what is a chunk’s own, and leaves alone what it shares', () => {
  const own = Buffer.allocUnsafeSlow(64 * 1024)
  release(own)
  assert.equal(own.length, 0)
  for (const size of [8 * 1024, 16 * 1024, 20_000, Buffer.poolSize / 2 - 1]) {
    const chunks = Array.from({ length: 40 }, (_, fill) => Buffer.allocUnsafe(size).fill(fill))
    for (const chunk of chunks) release(chunk)
    assert.ok(chunks.every((chunk, fill) => chunk.length === size && chunk[0] === fill && chunk.at(-1) === fill))
  }
})

test('readAhead() gives the same chunks, reads on while nobody asks, and no more than the limit', async () => {
  let read = 0
  let isClosed = false
  const source = async function* (): AsyncGenerator<Uint8Array> {
    try {
      for (let n = 0; n < 10; n += 1) {
        read += 1
        yield Buffer.from([n])
      }
    } finally {
      isClosed = true
    }
  }
  assert.deepEqual(
    (await Array.fromAsync(readAhead(source(), 3))).map(([first]) => first),
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
  )
  read = 0
  isClosed = false
  for await (const [first] of readAhead(source(), 3)) {
    await sleep(5)
    assert.ok(read > first! + 1 && read <= first! + 5, `${read} read when ${first} was taken`)
    if (first === 4) break
  }
  assert.ok(isClosed, 'who stops early closes the source')
})

test('readAhead() fails as its source does', async () => {
  const source = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from('a')
    throw new Error('broken')
  }
  await assert.rejects(Array.fromAsync(readAhead(source(), 100)), { message: 'broken' })
})
