import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'
import { ChunkQueue } from './chunkQueue.ts'
import { StrataError } from './errors.ts'

/** Bytes in order. Whoever stops reading early calls `return()` (as `for await` does by itself). */
export type ByteStream = AsyncIterable<Uint8Array>

/** Chunks of this many bytes keep the cost per chunk small: 256 KiB. */
export const CHUNK_BYTES: number = 256 * 1024

/**
 * Reads a whole stream that must be small.
 *
 * @param limit the most bytes that are accepted
 * Rejects with `resourceExhausted` (STRATA_TOO_LARGE) past the limit; nothing more is read then.
 */
export async function readAtMost(bytes: ByteStream, limit: number, what = 'the stream'): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of bytes) {
    size += chunk.length
    if (size > limit) throw new StrataError('resourceExhausted', 'STRATA_TOO_LARGE', `Cannot read ${what}: it has more than ${limit} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Reads to the end and forgets: an unread tail is an unverified one. */
export async function drain(bytes: ByteStream): Promise<void> {
  for await (const chunk of bytes) void chunk
}

/** Each read of a file is an exchange with another thread: 1 MiB. */
const READ_BYTES = 4 * CHUNK_BYTES

/** The bytes of a file, or of a part of it (`start` and exclusive `end` in bytes). */
export function fileStream(path: string, range: { start?: number; end?: number } = {}): ByteStream {
  if (range.end !== undefined && range.end <= (range.start ?? 0)) return streamOf()
  return createReadStream(path, {
    highWaterMark: READ_BYTES,
    ...(range.start === undefined ? {} : { start: range.start }),
    ...(range.end === undefined ? {} : { end: range.end - 1 }),
  })
}

/** A stream of the given chunks. */
export async function* streamOf(...chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks
}

/**
 * A part of a stream in bytes: from `start` (default 0) up to and without `end` (default: the end). What comes behind the
 * part is not asked for.
 */
export async function* sliceOf(
  bytes: ByteStream,
  { start = 0, end = Infinity }: { start?: number; end?: number },
): AsyncGenerator<Uint8Array> {
  if (end <= start) return
  let at = 0
  for await (const chunk of bytes) {
    const [from, to] = [Math.max(0, start - at), Math.min(chunk.length, end - at)]
    at += chunk.length
    if (from < to) yield from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to)
    if (at >= end) return
  }
}

/** Smaller chunks may share their memory with others: `Buffer.allocUnsafe` takes them out of a pool, which Node lets nobody give back. */
const RELEASED_BYTES = Buffer.poolSize / 2

/**
 * Gives the memory of a chunk back at once, for whoever owns it and knows that nobody looks at it any more. Left to the
 * garbage collector, which hardly sees buffers outside of its heap, some 64 MB of used chunks pile up in each
 * thread, and it runs all the time because of them.
 */
export function release(chunk: Uint8Array): void {
  const { buffer, byteLength, byteOffset } = chunk
  const last = byteLength >= RELEASED_BYTES && byteOffset + byteLength === buffer.byteLength
  if (last && buffer instanceof ArrayBuffer) buffer.transfer(0)
}

/** So many bytes of a Readable wait before it is paused: to pause it and let it go on for each chunk costs more than the chunk. */
const WAITING_BYTES = 4 * CHUNK_BYTES

/**
 * The chunks of a Readable as they come: its own iterator joins those that wait, which copies them. Stopping early
 * destroys it. Throws what `explain` makes of its error, also when it has broken before it is read.
 */
export async function* arriving(
  readable: Readable,
  explain: (error: unknown) => unknown = error => error,
): AsyncGenerator<Uint8Array, void> {
  if (readable.readableEnded) return
  if (readable.destroyed) throw explain(readable.errored ?? new Error('aborted'))
  const queue = new ChunkQueue()
  readable
    .on('data', (chunk: Uint8Array) => {
      queue.push(chunk)
      if (queue.bytes >= WAITING_BYTES) readable.pause()
    })
    .once('end', () => queue.end())
    .once('close', () => queue.end())
    // A stream that is given up tells that as an error of its own, which nobody waits for.
    .on('error', error => queue.end({ error: explain(error) }))
  try {
    for (let chunk = await queue.next(); chunk !== undefined; chunk = await queue.next()) {
      if (queue.bytes < WAITING_BYTES && readable.isPaused()) readable.resume()
      yield chunk
    }
  } finally {
    if (!readable.readableEnded) readable.destroy()
  }
}

/**
 * Gives the memory of each chunk back when the next is asked for, for whoever owns the chunks and hands them to
 * somebody who keeps none.
 */
export async function* lent(bytes: ByteStream): AsyncGenerator<Uint8Array, void> {
  for await (const chunk of bytes) {
    yield chunk
    release(chunk)
  }
}

/** Passes bytes on and tells `observe` about each chunk. */
export async function* observed(bytes: ByteStream, observe: (chunk: Uint8Array) => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of bytes) {
    observe(chunk)
    yield chunk
  }
}

/** Passes bytes on until `signal` is aborted; then it rejects with the signal's reason at once, also while the source has stalled. */
export async function* interruptible(bytes: ByteStream, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const source = bytes[Symbol.asyncIterator]()
  let interrupt = (): void => undefined
  const onAbort = (): void => interrupt()
  signal.addEventListener('abort', onAbort)
  try {
    for (;;) {
      signal.throwIfAborted()
      const next = await new Promise<IteratorResult<Uint8Array>>((resolve, reject) => {
        interrupt = () => reject(signal.reason as Error)
        source.next().then(resolve, reject)
      })
      if (next.done === true) return
      yield next.value
    }
  } finally {
    signal.removeEventListener('abort', onAbort)
    const closed = source.return?.()
    // A source that has stalled answers this only when it goes on.
    if (signal.aborted) closed?.catch(() => undefined)
    else await closed
  }
}
