import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import * as fc from 'fast-check'
import { type ByteStream, streamOf } from '../base/index.ts'
import { type OpenRange, rangedBytes, Room } from './rangedBlob.ts'

const BLOB = randomBytes(5000)

interface Watched {
  readonly open: OpenRange
  readonly opened: [number, number][]
  /** Streams that nobody has ended. */
  under: number
  most: number
}

/** Gives ranges of BLOB in chunks of at most `chunkBytes`, each after some turns of the event loop. */
function source(
  chunkBytes: number,
  { turns = () => 0, breaksAt = () => Infinity }: { turns?: () => number; breaksAt?: () => number } = {},
): Watched {
  const watched: Watched = { opened: [], under: 0, most: 0, open }
  async function open(start: number, end: number, signal: AbortSignal): Promise<ByteStream> {
    watched.opened.push([start, end])
    watched.under += 1
    watched.most = Math.max(watched.most, watched.under)
    const stop = breaksAt()
    return (async function* () {
      try {
        for (let at = start; at < end; at += chunkBytes) {
          for (let turn = turns(); turn > 0; turn -= 1) await nextTurn()
          signal.throwIfAborted()
          if (at >= stop) throw new Error('broken')
          yield BLOB.subarray(at, Math.min(at + chunkBytes, end))
        }
      } finally {
        watched.under -= 1
      }
    })()
  }
  return watched
}

async function* whole(at: number, chunkBytes: number, turns: () => number): AsyncGenerator<Uint8Array> {
  for (let next = at; next < BLOB.length; next += chunkBytes) {
    for (let turn = turns(); turn > 0; turn -= 1) await nextTurn()
    yield BLOB.subarray(next, next + chunkBytes)
  }
}

const shape = fc.record({
  at: fc.integer({ min: 0, max: BLOB.length }),
  segmentBytes: fc.integer({ min: 50, max: 3000 }),
  connections: fc.integer({ min: 1, max: 5 }),
  roomBytes: fc.integer({ min: 0, max: 6000 }),
  chunkBytes: fc.integer({ min: 7, max: 900 }),
  speeds: fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 20 }),
})

/** The numbers of a list, again and again. */
function cycle(numbers: readonly number[]): () => number {
  let at = 0
  return () => numbers[(at += 1) % numbers.length]!
}

test('rangedBytes() gives every byte once and in order, over no more connections and in no more room than it may', async () => {
  let shared = 0
  await fc.assert(
    fc.asyncProperty(shape, async ({ at, segmentBytes, connections, roomBytes, chunkBytes, speeds }) => {
      const room = new Room(roomBytes)
      const watched = source(chunkBytes, { turns: cycle(speeds) })
      const stream = whole(at, chunkBytes, cycle([3]))
      const got: Uint8Array[] = []
      for await (const chunk of rangedBytes({ stream, at, end: BLOB.length, open: watched.open, room, segmentBytes, connections })) {
        got.push(chunk)
        assert.ok(room.free >= 0)
      }
      assert.ok(Buffer.concat(got).equals(BLOB.subarray(at)))
      assert.ok(watched.most <= connections)
      assert.equal(watched.under, 0)
      assert.equal(room.free, roomBytes)
      for (const [start, end] of watched.opened) assert.ok(start >= at && end <= BLOB.length && end - start <= segmentBytes)
      shared += watched.opened.length
    }),
    { numRuns: 300 },
  )
  assert.ok(shared > 300, 'ranges were used')
})

test('rangedBytes() whose ranges break has given all before the break, and leaves nothing under way', async () => {
  await fc.assert(
    fc.asyncProperty(shape, fc.integer({ min: 0, max: BLOB.length }), async (how, stop) => {
      const { at, segmentBytes, connections, roomBytes, chunkBytes, speeds } = how
      const room = new Room(roomBytes)
      const watched = source(chunkBytes, { turns: cycle(speeds), breaksAt: () => stop })
      const got: Uint8Array[] = []
      let broken = false
      try {
        const stream = whole(at, chunkBytes, cycle([3]))
        for await (const chunk of rangedBytes({ stream, at, end: BLOB.length, open: watched.open, room, segmentBytes, connections }))
          got.push(chunk)
      } catch {
        broken = true
      }
      const bytes = Buffer.concat(got)
      assert.ok(bytes.equals(BLOB.subarray(at, at + bytes.length)))
      if (!broken) assert.equal(at + bytes.length, BLOB.length)
      assert.equal(watched.under, 0)
      assert.equal(room.free, roomBytes)
    }),
  )
})

test('rangedBytes() goes on over its first connection where no range is given', async () => {
  const open: OpenRange = async () => {
    throw new Error('no ranges here')
  }
  for (const chunkBytes of [100, 999]) {
    const room = new Room(9000)
    const got: Uint8Array[] = []
    const stream = whole(0, chunkBytes, () => 1)
    for await (const chunk of rangedBytes({ stream, at: 0, end: BLOB.length, open, room, segmentBytes: 700, connections: 4 }))
      got.push(chunk)
    assert.ok(Buffer.concat(got).equals(BLOB))
    assert.equal(room.free, 9000)
  }
})

test('rangedBytes() that is given more or less than it asked for says so, and gives out nothing of it that is too much', async () => {
  for (const more of [-10, 10]) {
    // In two chunks, the second of which is wrong.
    const open: OpenRange = async (start, end) => streamOf(BLOB.subarray(start, start + 10), BLOB.subarray(start + 10, end + more))
    const got: Uint8Array[] = []
    const read = async (): Promise<void> => {
      const stream = whole(0, 100, () => 2)
      const blob = { stream, at: 0, end: BLOB.length, open, room: new Room(9000), segmentBytes: 700, connections: 4 }
      for await (const chunk of rangedBytes(blob)) got.push(chunk)
    }
    await assert.rejects(read, { kind: 'unavailable', message: /more|10 fewer/ })
    const bytes = Buffer.concat(got)
    assert.ok(bytes.equals(BLOB.subarray(0, bytes.length)))
    assert.ok(bytes.length < 1400)
  }
})

test('rangedBytes() that is left ends its connections', async () => {
  const watched = source(50, { turns: () => 3 })
  let isEnded = false
  const first = whole(0, 50, () => 1)
  const stream = { next: () => first.next(), return: async () => ((isEnded = true), first.return(undefined)) }
  const room = new Room(9000)
  let chunks = 0
  for await (const _ of rangedBytes({ stream, at: 0, end: BLOB.length, open: watched.open, room, segmentBytes: 700, connections: 4 }))
    if ((chunks += 1) > 3) break
  assert.ok(watched.opened.length > 1)
  assert.deepEqual([watched.under, isEnded, room.free], [0, true, 9000])
})
