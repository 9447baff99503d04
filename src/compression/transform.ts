import type { Transform } from 'node:stream'

/** A stream of node:zlib. `bytesWritten` counts the input that the decoder has used. */
export type Engine = Transform & { readonly bytesWritten: number }

export interface Feed {
  /** The next input; undefined at the end. */
  next(): Promise<Uint8Array | undefined>
  /** Takes what comes behind the end of the compressed data. */
  unread?(bytes: Uint8Array): void
}

/**
 * Runs a stream of node:zlib as a generator: one input at a time, so that what the engine leaves
 * behind its end is known exactly. Back-pressure comes from whoever reads.
 */
export async function* transformed(engine: Engine, feed: Feed): AsyncGenerator<Uint8Array> {
  const feeding = write(engine, feed)
  try {
    for await (const chunk of engine) yield chunk as Uint8Array
  } finally {
    engine.destroy()
    await feeding
  }
}

async function write(engine: Engine, feed: Feed): Promise<void> {
  let wake = (): void => {}
  engine.once('close', () => wake())
  try {
    for (;;) {
      const bytes = await feed.next()
      if (engine.destroyed) return
      if (bytes === undefined) {
        engine.end()
        return
      }
      const before = engine.bytesWritten
      // At the end of its data an engine ends and never calls back, so its closing counts too.
      await new Promise<void>(resolve => {
        wake = resolve
        engine.write(bytes, () => resolve())
      })
      const used = engine.bytesWritten - before
      if (used < bytes.length) {
        feed.unread?.(bytes.subarray(used))
        return
      }
    }
  } catch (error) {
    engine.destroy(error as Error)
  }
}
