import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { setTimeout as sleep } from 'node:timers/promises'
import { PassThrough, Readable } from 'node:stream'
import { arriving, CHUNK_BYTES, lent, release, sliceOf, streamOf } from './index.ts'

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

test('arriving() gives the chunks as they come, reads on while nobody asks, and no more than it may', async () => {
  let made = 0
  const readable = new Readable({
    highWaterMark: 1,
    read() {
      made += 1
      this.push(made > 30 ? null : Buffer.alloc(CHUNK_BYTES, made))
    },
  })
  let taken = 0
  for await (const chunk of arriving(readable)) {
    taken += 1
    assert.deepEqual([chunk.length, chunk[0]], [CHUNK_BYTES, taken])
    if (taken < 3) await sleep(5)
    if (taken === 2) assert.ok(made > 4 && made <= 9, `${made} were read when 2 were taken`)
  }
  assert.equal(taken, 30)
})

test('arriving() fails as the stream does, once what came before is taken, and destroys what is not read to its end', async () => {
  const broken = new PassThrough()
  const chunks = arriving(broken, error => new Error('explained', { cause: error }))
  const first = chunks.next()
  broken.write('a')
  assert.equal(String((await first).value), 'a')
  broken.write('b')
  await sleep(1)
  broken.destroy(new Error('broken'))
  assert.equal(String((await chunks.next()).value), 'b')
  await assert.rejects(chunks.next(), { message: 'explained' })
  const left = new PassThrough()
  left.write('a')
  for await (const chunk of arriving(left)) if (String(chunk) === 'a') break
  assert.ok(left.destroyed)
  await assert.rejects(Array.fromAsync(arriving(left)), { message: 'aborted' })
})

test('lent() gives back each chunk when the next is asked for', async () => {
  const chunks = [1, 2, 3].map(fill => Buffer.allocUnsafeSlow(64 * 1024).fill(fill))
  let before: Uint8Array | undefined
  for await (const chunk of lent(streamOf(...chunks))) {
    assert.equal(chunk[0], chunks.findIndex(each => each === chunk) + 1)
    assert.equal(before?.length ?? 0, 0)
    before = chunk
  }
})
