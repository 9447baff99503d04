import { type ByteStream, pause, StrataError } from '../base/index.ts'
import type { HttpResponse, Wrap } from './send.ts'

/** Timers are not exact: less than this is not waited for, and made up for by the next wait. */
const SHORTEST_WAIT_MS = 5
/** A body goes out in pieces that take this long, so that the connection never looks dead. */
const PIECE_SECONDS = 0.1
const SMALLEST_PIECE_BYTES = 512

/** So many bytes a second, for all connections that share it, in both directions together. */
export class RateLimit {
  readonly bytesPerSecond: number
  /** When what has passed so far is paid for, on the monotonic clock. */
  #paidAtMs = 0

  /** Throws `invalidArgument` (STRATA_LIMIT_RATE) for what is not a positive number. */
  constructor(bytesPerSecond: number) {
    if (!(bytesPerSecond > 0)) {
      throw new StrataError(
        'invalidArgument',
        'STRATA_LIMIT_RATE',
        `Cannot limit the rate to ${bytesPerSecond} bytes per second: expected a positive number`,
      )
    }
    this.bytesPerSecond = bytesPerSecond
  }

  /** Resolves when so many bytes more may have passed; callers take turns in the order of their calls. */
  async pass(bytes: number, signal?: AbortSignal): Promise<void> {
    const now = performance.now()
    this.#paidAtMs = Math.max(this.#paidAtMs, now) + (bytes / this.bytesPerSecond) * 1000
    const wait = this.#paidAtMs - now
    if (wait >= SHORTEST_WAIT_MS) await pause(wait, signal)
  }
}

/** Keeps bodies, those that are sent and those that come, to a rate; the registry is held back by TCP. */
export function withRateLimit(limit: RateLimit): Wrap {
  return next => async request => {
    const { body, signal } = request
    if (body instanceof Uint8Array) await limit.pass(body.length, signal)
    const isStream = body !== undefined && !(body instanceof Uint8Array)
    const response = await next(isStream ? { ...request, body: sent(body, limit, signal) } : request)
    return { ...response, body: received(response.body, limit, signal) }
  }
}

async function* sent(bytes: ByteStream, limit: RateLimit, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  const piece = Math.max(SMALLEST_PIECE_BYTES, Math.floor(limit.bytesPerSecond * PIECE_SECONDS))
  for await (const chunk of bytes) {
    for (let at = 0; at < chunk.length; at += piece) {
      const part = chunk.subarray(at, at + piece)
      await limit.pass(part.length, signal)
      yield part
    }
  }
}

function received(body: HttpResponse['body'], limit: RateLimit, signal: AbortSignal | undefined): HttpResponse['body'] {
  return {
    async *[Symbol.asyncIterator]() {
      for await (const chunk of body) {
        await limit.pass(chunk.length, signal)
        yield chunk
      }
    },
    discard: () => body.discard(),
  }
}
