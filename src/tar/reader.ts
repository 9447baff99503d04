import { type ByteStream, StrataError } from '../base/index.ts'
import type { TarEntry, TarLimits } from './entry.ts'
import { TarParser } from './parser.ts'
import { expandSparse } from './sparse.ts'

/** One member and its logical content: holes of sparse files are zeros. */
export type TarMember = TarEntry & {
  /** Exactly `size` bytes; can be read once, until the next member is asked for. */
  readonly body: ByteStream
}

/** What the parser has said and nobody has taken yet. */
type Event = { readonly entry: TarEntry } | { readonly data: Uint8Array } | 'endOfEntry' | { readonly error: unknown }

/**
 * Reads an archive member by member. Bodies that are not read are skipped; the source is read to its
 * end, also past the end marker, so that whoever verifies it sees all bytes. Memory is bounded by the
 * chunks of `bytes`.
 *
 * Rejects as `TarParser` throws.
 */
export async function* readTar(bytes: ByteStream, limits: TarLimits = {}): AsyncGenerator<TarMember> {
  const source = bytes[Symbol.asyncIterator]()
  let done = false
  let events: Event[] = []
  let taken = 0
  let current: TarEntry | undefined
  const parser = new TarParser(
    {
      entry: entry => void events.push({ entry }),
      data: data => void events.push({ data }),
      endOfEntry: () => void events.push('endOfEntry'),
    },
    limits,
  )

  try {
    for (;;) {
      const event = await next()
      if (event === undefined) return
      if (event === 'endOfEntry' || 'data' in event) continue
      const { entry } = event
      current = entry
      const stored = payload(entry)
      yield { ...entry, body: entry.sparse === undefined ? stored : expandSparse(stored, entry.sparse, entry.size) }
      current = undefined
    }
  } finally {
    if (!done) await source.return?.()
  }

  /** The next event; undefined at the end of the archive. */
  async function next(): Promise<Exclude<Event, { readonly error: unknown }> | undefined> {
    while (taken === events.length) {
      if (done) return undefined
      events = []
      taken = 0
      const result = await source.next()
      try {
        if (result.done === true) {
          done = true
          parser.end()
        } else {
          parser.write(result.value)
        }
      } catch (error) {
        // Members that came before the fault in the same chunk are handed out first.
        events.push({ error })
      }
    }
    const event = events[taken++]!
    if (typeof event === 'object' && 'error' in event) throw event.error
    return event
  }

  async function* payload(entry: TarEntry): AsyncGenerator<Uint8Array> {
    for (;;) {
      if (current !== entry) {
        throw new StrataError(
          'conflict',
          'STRATA_TAR_BODY_GONE',
          `Cannot read the content of "${entry.path}": the archive has been read past it`,
        )
      }
      const event = await next()
      if (event === undefined || event === 'endOfEntry') return
      if ('data' in event) yield event.data
    }
  }
}
