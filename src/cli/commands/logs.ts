import { StrataError } from '../../base/index.ts'
import type { LogEntry, LogOptions } from '../../engine/index.ts'
import { writeChunk } from '../byteOutput.ts'
import { defineCommand, type Command } from '../command.ts'
import { present } from '../containerFlags/flagValues.ts'
import { readTime } from '../filters.ts'
import { flag, text } from '../options.ts'

const NEWLINE = 10

export const command: Command = defineCommand({
  usage: '[OPTIONS] CONTAINER',
  options: {
    follow: flag('Go on until the container stops', { short: 'f' }),
    since: text('Only from a time on, or since so long ago (2026-01-31T12:00:00Z, 90m)'),
    tail: text('Only so many lines from the end', { short: 'n', shownDefault: '"all"' }),
    timestamps: flag('With the time of each line', { short: 't' }),
    until: text('Only until a time, or so long ago (2026-01-31T12:00:00Z, 90m)'),
  },
  operands: [1, 1],
  async run(invocation, { follow, since, tail, timestamps, until }, [container = '']) {
    const { stdout, stderr } = invocation.surroundings
    const now = invocation.surroundings.now()
    const options = present<LogOptions>({
      follow,
      since: since === undefined ? undefined : readTime(since, now, `use --since "${since}"`),
      until: until === undefined ? undefined : readTime(until, now, `use --until "${until}"`),
      tail: readTail(tail),
    })
    const engine = await invocation.engine()
    const stamp = new Stamper()
    for await (const entry of engine.logs(container, { ...options, signal: invocation.interruption() })) {
      await writeChunk(entry.stream === 'stdout' ? stdout : stderr, timestamps ? stamp.stamped(entry) : entry.bytes)
    }
    return 0
  },
})

/** A number of lines; `all` and negative numbers are all of them. */
function readTail(text: string | undefined): number | undefined {
  if (text === undefined || text === 'all' || /^-\d+$/.test(text)) return undefined
  if (/^\d+$/.test(text)) return Number(text)
  throw new StrataError('invalidArgument', 'STRATA_INVALID_FLAG', `Cannot use --tail "${text}": expected a number of lines, or all`)
}

/** Puts the time before each line; an entry that goes on with a line gets none. */
class Stamper {
  readonly #within = { stdout: false, stderr: false }

  stamped({ stream, timestamp, bytes }: LogEntry): Uint8Array {
    const parts: Uint8Array[] = []
    const prefix = Buffer.from(`${timestamp} `)
    for (let start = 0; start < bytes.length;) {
      const newline = bytes.indexOf(NEWLINE, start)
      const end = newline === -1 ? bytes.length : newline + 1
      if (!this.#within[stream]) parts.push(prefix)
      parts.push(bytes.subarray(start, end))
      this.#within[stream] = newline === -1
      start = end
    }
    return Buffer.concat(parts)
  }
}
