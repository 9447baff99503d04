import { setTimeout as sleep } from 'node:timers/promises'
import { type ByteStream, isStrataError, StrataError } from '../base/index.ts'
import { rangedBytes, Room } from './rangedBlob.ts'
import { delayMs } from './retry.ts'

/** How often one blob's broken stream is taken up again, without a byte in between, before it is given up. */
const RESUMES = 5

const MIB = 1024 * 1024
/** A connection that brings less than this per second is helped by others: a registry near by has more over one. */
const SLOW_BYTES_PER_SECOND = 16 * MIB
/** What the rate is measured by: so many bytes, or as many as come in this time. */
const MEASURED_BYTES = 4 * MIB
const MEASURED_MS = 1000
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
      for (let pace: Pace | undefined = new Pace(); ;) {
        const asked = performance.now()
        const next = await stream.next()
        if (next.done === true) break
        at += next.value.length
        pace?.add(next.value.length, performance.now() - asked)
        yield next.value
        // Progress makes up for earlier failures.
        failures = 0
        if (pace?.isSlow === undefined) continue
        if (pace.isSlow && tries > 0 && end - at > 2 * SEGMENT_BYTES) {
          tries -= 1
          isShared = true
          stream = overSeveral(download, at, stream)
        }
        pace = undefined
      }
      if (at >= end) return
      download.onShort()
      throw new StrataError('unavailable', 'STRATA_REGISTRY_ANSWER', `Cannot get ${name}: it ends after ${at} of ${end} bytes`)
    } catch (error) {
      if (at >= end) return
      failures += 1
      // Whatever there is against a range, one connection may still do.
      const isPassing = isShared || isStrataError(error, 'unavailable')
      if (failures > RESUMES || !isPassing || signal?.aborted === true) throw error
      await sleep(delayMs(failures))
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

/** How fast a connection brings bytes; the time that the reader takes for itself does not count. */
class Pace {
  #bytes = 0
  #waitedMs = 0

  add(bytes: number, waitedMs: number): void {
    this.#bytes += bytes
    this.#waitedMs += waitedMs
  }

  /** Undefined while it is not known yet. */
  get isSlow(): boolean | undefined {
    if (this.#bytes < MEASURED_BYTES && this.#waitedMs < MEASURED_MS) return undefined
    return this.#bytes / (this.#waitedMs / 1000) < SLOW_BYTES_PER_SECOND
  }
}
