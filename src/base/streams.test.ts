import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { release, sliceOf } from './index.ts'

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
