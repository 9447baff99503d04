import { type ByteStream, ChunkQueue, StrataError } from '../base/index.ts'

/** Opens exactly the bytes from `start` up to, and without, `end`; rejects where the other side gives something else. */
export type OpenRange = (start: number, end: number, signal: AbortSignal) => Promise<ByteStream>

/** How many bytes may be fetched before their turn: one for all blobs of a process. */
export class Room {
  #free: number

  constructor(bytes: number) {
    this.#free = bytes
  }

  get free(): number {
    return this.#free
  }

  /** Says whether there was as much. */
  take(bytes: number): boolean {
    if (bytes > this.#free) return false
    this.#free -= bytes
    return true
  }

  give(bytes: number): void {
    this.#free += bytes
  }
}

export interface RangedBlob {
  /** The connection that the blob comes over so far; its next byte is `at`. It is ended when this takes over from it. */
  readonly stream: AsyncIterator<Uint8Array>
  readonly at: number
  /** Where the blob ends. */
  readonly end: number
  readonly open: OpenRange
  readonly room: Room
  /** How many bytes one request asks for. */
  readonly segmentBytes: number
  /** How many segments are fetched at once, the one whose turn it is included. */
  readonly connections: number
}

/**
 * Goes on with a blob over several connections: while its bytes come over the first one, the segments behind are asked for
 * over others; they wait in memory until it is their turn. Where nothing of the first of them has come by then, the
 * blob goes on over the first connection to its end, as if nothing had been tried.
 *
 * Throws what broke, when it is that segment's turn: all before it has been given out then.
 */
export async function* rangedBytes(blob: RangedBlob): AsyncGenerator<Uint8Array> {
  const { stream, end } = blob
  const queue = new SegmentQueue(blob)
  let held: Uint8Array | undefined
  try {
    let at = blob.at
    for (const boundary = queue.start; at < boundary;) {
      const next = await stream.next()
      if (next.done === true) return
      // More than there should be is found by who counts.
      const mine = at + next.value.length > boundary && boundary < end ? next.value.subarray(0, boundary - at) : next.value
      if (mine !== next.value) held = next.value.subarray(mine.length)
      at += mine.length
      yield mine
    }
    if (queue.hasBegun) {
      await stream.return?.()
      yield* queue.bytes()
      return
    }
    await queue.end()
    if (held !== undefined) yield held
    for (let next = await stream.next(); next.done !== true; next = await stream.next()) yield next.value
  } finally {
    await queue.end()
    await stream.return?.()
  }
}

/** The segments that are under way, in order. */
class SegmentQueue {
  readonly #blob: RangedBlob
  readonly #segments: Segment[] = []
  /** Where the first segment begins: what the first connection has to bring. */
  readonly start: number
  #next: number

  constructor(blob: RangedBlob) {
    this.#blob = blob
    this.start = Math.min(blob.at + blob.segmentBytes, blob.end)
    this.#next = this.start
    this.#fill(blob.connections - 1)
  }

  /** Whether the first segment comes. */
  get hasBegun(): boolean {
    return this.#segments[0]?.hasBytes === true
  }

  async *bytes(): AsyncGenerator<Uint8Array> {
    for (let segment = this.#segments[0]; segment !== undefined; segment = this.#segments[0]) {
      this.#fill(this.#blob.connections)
      yield* segment.bytes()
      this.#segments.shift()
      if (segment.isAhead) this.#blob.room.give(this.#blob.segmentBytes)
      this.#fill(this.#blob.connections)
    }
  }

  /** Ends what is under way; resolves when nothing of it comes any more. */
  async end(): Promise<void> {
    for (const segment of this.#segments) {
      segment.cancel()
      if (segment.isAhead) this.#blob.room.give(this.#blob.segmentBytes)
    }
    await Promise.all(this.#segments.splice(0).map(segment => segment.ended))
  }

  #fill(count: number): void {
    const { end, open, room, segmentBytes } = this.#blob
    while (this.#segments.length < count && this.#next < end) {
      // One without room: else blobs that hold all of it would be waited for.
      const isAhead = room.take(segmentBytes)
      if (!isAhead && this.#segments.length > 0) return
      const stop = Math.min(this.#next + segmentBytes, end)
      this.#segments.push(new Segment({ start: this.#next, end: stop, isAhead, open }))
      this.#next = stop
    }
  }
}

interface SegmentPlace {
  readonly start: number
  readonly end: number
  readonly isAhead: boolean
  readonly open: OpenRange
}

/** A part of a blob that comes over a connection of its own into memory. */
class Segment {
  readonly isAhead: boolean
  /** Resolves when nothing comes any more; never rejects. */
  readonly ended: Promise<void>
  readonly #aborter = new AbortController()
  readonly #queue = new ChunkQueue()
  #hasBytes = false

  constructor(place: SegmentPlace) {
    this.isAhead = place.isAhead
    this.ended = this.#fetch(place).then(
      () => this.#queue.end(),
      (error: unknown) => this.#queue.end({ error }),
    )
  }

  /** Whether any of its bytes have come: an answer alone promises nothing. */
  get hasBytes(): boolean {
    return this.#hasBytes
  }

  /** What has come and what comes; throws where it broke. */
  async *bytes(): AsyncGenerator<Uint8Array> {
    for (let chunk = await this.#queue.next(); chunk !== undefined; chunk = await this.#queue.next()) yield chunk
  }

  cancel(): void {
    this.#aborter.abort()
  }

  async #fetch({ start, end, open }: SegmentPlace): Promise<void> {
    let left = end - start
    for await (const chunk of await open(start, end, this.#aborter.signal)) {
      left -= chunk.length
      if (left < 0) break
      this.#hasBytes = true
      this.#queue.push(chunk)
    }
    if (left === 0) return
    throw new StrataError(
      'unavailable',
      'STRATA_REGISTRY_ANSWER',
      `Cannot get bytes ${start} to ${end - 1}: there come ${left < 0 ? 'more' : `${left} fewer`}`,
    )
  }
}
