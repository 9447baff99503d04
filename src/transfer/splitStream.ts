import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import { type ByteStream, StrataError } from '../base/index.ts'

/** How far the second reader may be behind the first: 4 MiB. */
const BUFFER_BYTES = 4 * 1024 * 1024

/**
 * Gives the bytes of one stream to two readers, who must both leave the chunks as they are, at the pace of
 * the slower one. A failure of the source, and a reader that stops early, end both.
 */
export function splitStream(source: ByteStream): readonly [ByteStream, ByteStream] {
  const second = new PassThrough({ highWaterMark: BUFFER_BYTES })
  // A failure reaches the second reader through its iteration; without a reader it would end the process.
  second.on('error', () => undefined)
  return [firstReader(source, second), second]
}

async function* firstReader(source: ByteStream, second: PassThrough): AsyncGenerator<Uint8Array> {
  let failure: unknown = new StrataError('cancelled', 'STRATA_CANCELLED', 'Cannot read the stream: its other reader stopped')
  try {
    for await (const chunk of source) {
      if (second.destroyed) throw failure
      if (!second.write(chunk)) await Promise.race([once(second, 'drain'), once(second, 'close')])
      yield chunk
    }
    second.end()
    failure = undefined
  } catch (error) {
    failure = error
    throw error
  } finally {
    if (failure !== undefined) second.destroy(failure as Error)
  }
}
