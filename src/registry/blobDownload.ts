import { type EventLoopUtilization, performance } from 'node:perf_hooks'
import { type ByteStream, isStrataError, pause, StrataError } from '../base/index.ts'
import { rangedBytes, Room } from './rangedBlob.ts'
import { delayMs } from './retry.ts'

/** How often one blob's broken stream is taken up again, without a byte in between, before it is given up. */
const RESUMES = 5

const MIB = 1024 * 1024
/** Connections that bring less than this per second, all together, are helped by others: a registry near by gives more. */
const SLOW_BYTES_PER_SECOND = 32 * MIB
/** Measured again and again: by so many bytes of a blob, or as many as come in this time. */
const MEASURED_BYTES = 4 * MIB
const MEASURED_MS = 1000
/** Of that time the blob must have waited for the network so much, and this thread have been busy for no more than that. */
const LEAST_WAITING = 0.7
const MOST_BUSY = 0.5
const SEGMENT_BYTES = 4 * MIB
/** For one blob. */
const CONNECTIONS = 4
/** How often a blob is tried over several connections. */
const RANGED_TRIES = 3
/** In all blobs of this process together, besides one segment of each. */
const room = new Room(8 * SEGMENT_BYTES)

export interface BlobDownload {
  /** For messages: `sha256:… from "host/path"`. */
  readonly name: string
  /** The first byte that is wanted, and the first that is not. */
  readonly start: number
  readonly end: number
  /** Opens the blob from `start` to its end, or to `end`; what does not come so is cut to it. */
  readonly open: (start: number, signal: AbortSignal | undefined) => Promise<ByteStream>
  /** Opens exactly these bytes, or rejects; undefined where one connection shall do. */
  readonly openRange: ((start: number, end: number, signal: AbortSignal) => Promise<ByteStream>) | undefined
  /** Told when a stream that looked whole ends too early: whoever gave it is not to be asked for the rest. */
  readonly onShort: () => void
  readonly signal?: AbortSignal | undefined
}

/**
 * The bytes of a blob. A stream that breaks is taken up again where it broke; one that turns out to be slow is
 * helped by other connections, which fetch what comes next.
 *
 * Rejects as the first `open` does. The stream throws `unavailable` when it breaks again and again.
 */
export async function downloadBlob(download: BlobDownload): Promise<ByteStream> {
  return resuming(download, await download.open(download.start, download.signal))
}

async function* resuming(download: BlobDownload, first: ByteStream): AsyncGenerator<Uint8Array> {
  const { name, start, end, open, signal } = download
  let at = start
  let bytes = first
  let tries = download.openRange === undefined ? 0 : RANGED_TRIES
  for (let failures = 0; ;) {
    let stream = bytes[Symbol.asyncIterator]()
    let isShared = false
    try {
      for (const pace = new Pace(); ;) {
        const asked = performance.now()
        const next = await stream.next()
        if (next.done === true) break
        at += next.value.length
        const isSlow = pace.isSlow(next.value.length, performance.now() - asked)
        yield next.value
        // Progress makes up for earlier failures.
        failures = 0
        if (!isSlow || isShared || tries === 0 || end - at <= 2 * SEGMENT_BYTES) continue
        tries -= 1
        isShared = true
        stream = overSeveral(download, at, stream)
      }
      if (at >= end) return
      // What is stopped ends early, too.
      signal?.throwIfAborted()
      download.onShort()
      throw new StrataError('unavailable', 'STRATA_REGISTRY_ANSWER', `Cannot get ${name}: it ends after ${at} of ${end} bytes`)
    } catch (error) {
      if (at >= end) return
      failures += 1
      // Whatever there is against a range, one connection may still do.
      const isPassing = isShared || isStrataError(error, 'unavailable')
      if (failures > RESUMES || !isPassing || signal?.aborted === true) throw error
      await pause(delayMs(failures), signal)
      bytes = await open(at, signal)
    } finally {
      await stream.return?.()
    }
  }
}

function overSeveral({ end, openRange, signal }: BlobDownload, at: number, stream: AsyncIterator<Uint8Array>): AsyncIterator<Uint8Array> {
  return rangedBytes({
    stream,
    at,
    end,
    open: (from, to, own) => openRange!(from, to, signal === undefined ? own : AbortSignal.any([signal, own])),
    room,
    segmentBytes: SEGMENT_BYTES,
    connections: CONNECTIONS,
  })
}

/** Of all blobs of this process. */
let arrivedBytes = 0

/** Whether the network is what a blob waits for. */
class Pace {
  #bytes = 0
  #waitedMs = 0
  #began = mark()

  /** @param waitedMs how long these bytes were waited for; the time that the reader takes for itself does not count */
  isSlow(bytes: number, waitedMs: number): boolean {
    arrivedBytes += bytes
    this.#bytes += bytes
    this.#waitedMs += waitedMs
    if (this.#bytes < MEASURED_BYTES && this.#waitedMs < MEASURED_MS) return false
    const { atMs, load, arrived } = this.#began
    const elapsedMs = performance.now() - atMs
    const isSlow =
      (arrivedBytes - arrived) / (elapsedMs / 1000) < SLOW_BYTES_PER_SECOND &&
      this.#waitedMs / elapsedMs > LEAST_WAITING &&
      performance.eventLoopUtilization(load).utilization < MOST_BUSY
    this.#bytes = 0
    this.#waitedMs = 0
    this.#began = mark()
    return isSlow
  }
}

function mark(): { readonly atMs: number; readonly load: EventLoopUtilization; readonly arrived: number } {
  return { atMs: performance.now(), load: performance.eventLoopUtilization(), arrived: arrivedBytes }
}
