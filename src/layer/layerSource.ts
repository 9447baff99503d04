import { closeSync, openSync, readSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { CHUNK_BYTES, release, systemError } from '../base/index.ts'

/** A part of a file, in bytes: `start` (default 0) up to and without `end` (default: the end). */
export interface FileRange {
  readonly path: string
  readonly start?: number
  readonly end?: number
}

/** Where a thread gets the bytes of a layer from; plain data. `sent`: chunk by chunk. `growing`: from a file, as far as it is told. */
export type LayerSource =
  | { readonly kind: 'sent' }
  | { readonly kind: 'file'; readonly range: FileRange }
  | { readonly kind: 'growing'; readonly path: string }

/** What a source is sent: the next bytes, or how far its file has grown. */
export type Arrival = Uint8Array | number

/**
 * The bytes of a source. A chunk's memory is used again, or given back, when the next is asked for.
 *
 * @param onRead told how many bytes were taken, piece by piece
 */
export function layerBytes(
  source: LayerSource,
  arrivals: AsyncIterable<Arrival>,
  onRead: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  switch (source.kind) {
    case 'sent':
      return sentBytes(arrivals as AsyncIterable<Uint8Array>, onRead)
    case 'file':
      return fileBytes(source.range, [source.range.end ?? Infinity], onRead)
    case 'growing':
      return fileBytes(source, arrivals as AsyncIterable<number>, onRead)
    default:
      return source satisfies never
  }
}

async function* sentBytes(chunks: AsyncIterable<Uint8Array>, onRead: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    onRead(chunk.length)
    yield chunk
    release(chunk)
  }
}

async function* fileBytes(
  { path, start = 0 }: FileRange,
  ends: Iterable<number> | AsyncIterable<number>,
  onRead: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES)
  const fd = attempt(path, () => openSync(path, 'r'))
  try {
    let at = start
    for await (const end of ends) {
      while (at < end) {
        const length = Math.min(CHUNK_BYTES, end - at)
        const position = at
        const count = attempt(path, () => readSync(fd, buffer, 0, length, position))
        if (count === 0) break
        at += count
        onRead(count)
        yield buffer.subarray(0, count)
        // Whoever wants to stop this thread gets a word in.
        await nextTurn()
      }
    }
  } finally {
    closeSync(fd)
  }
}

function attempt<T>(path: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw systemError(`read "${path}"`, error)
  }
}
