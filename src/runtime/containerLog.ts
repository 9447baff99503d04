import { type FSWatcher, watch } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { errnoOf, systemError } from '../base/index.ts'

/*
 * A line of conmon's k8s-file log:
 *
 *   2026-11-21T04:33:58.070970123+00:00 stdout F the text
 *
 * F: the text ended with a newline, which the log's own stands for; P: it goes on in the next line
 * of the same stream.
 */

export interface LogRecord {
  /** RFC 3339 with nanoseconds, in UTC (`Z`). */
  readonly at: string
  readonly stream: 'stdout' | 'stderr'
  /** With its newline, unless the line goes on in the next record. */
  readonly bytes: Buffer
}

export interface LogOptions {
  /** Goes on with what is written later, until `signal`, or until `isEnded` says that nothing more will come. */
  readonly follow?: boolean
  readonly isEnded?: () => Promise<boolean>
  /** Only the last lines; 0 is none, undefined is all. */
  readonly tail?: number
  /** Only what comes after so many bytes of the log, where a line ends; instead of `tail`. */
  readonly from?: number
  readonly since?: Date
  readonly until?: Date
  readonly signal?: AbortSignal
}

/** conmon cuts at its own buffers of 32 KiB; a longer line is not its. */
const LINE_LIMIT = 1024 * 1024
const READ_BYTES = 64 * 1024
/** A change that no watch tells of (a file system without inotify) is found this late, and the end too. */
const POLL_MS = 200

/** Reads the log that a monitor writes; an absent file is an empty one. Lines that are not conmon's are left out. */
export async function* readLog(path: string, options: LogOptions = {}): AsyncGenerator<LogRecord, void, undefined> {
  const { since, until } = options
  const start = options.from ?? (options.tail === undefined ? 0 : await tailOffset(path, options.tail))
  for await (const line of logLines(path, start, options)) {
    const record = parseLogLine(line)
    if (record === undefined) continue
    const at = Date.parse(record.at)
    if (since !== undefined && at < since.getTime()) continue
    if (until !== undefined && at > until.getTime()) return
    yield record
  }
}

const HEAD = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?)(Z|[+-]\d\d:\d\d) (stdout|stderr) ([FP]) /

/** One line of a log, without its newline; undefined for what conmon does not write. */
export function parseLogLine(line: Buffer): LogRecord | undefined {
  const [head, time = '', zone = '', stream, tag] = HEAD.exec(line.toString('latin1', 0, 64)) ?? []
  if (head === undefined) return undefined
  const text = line.subarray(head.length)
  return {
    at: toUtc(time, zone),
    stream: stream === 'stderr' ? 'stderr' : 'stdout',
    bytes: tag === 'F' ? Buffer.concat([text, Buffer.from('\n')]) : Buffer.from(text),
  }
}

/** The same moment in UTC, with all its nanoseconds, which a Date has no room for. */
function toUtc(time: string, zone: string): string {
  const [seconds = '', fraction = ''] = time.split('.')
  const moved = new Date(`${seconds}${zone}`).toISOString().slice(0, 19)
  return `${moved}.${fraction.padEnd(9, '0')}Z`
}

async function openLog(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw systemError(`read the log "${path}"`, error)
  }
}

/**
 * Lines from `start` on; a file that conmon started afresh is read from its beginning. The file is held
 * open: the log of a container that removes itself is read to its end though it has no name any more.
 */
async function* logLines(path: string, start: number, options: LogOptions): AsyncGenerator<Buffer, void, undefined> {
  const { follow = false, signal } = options
  using changes = follow ? new Changes(path) : undefined
  let file = await openLog(path)
  try {
    let position = start
    let rest = Buffer.alloc(0)
    for (;;) {
      // Asked before reading, so that what was written before the end is not missed.
      const ended = !follow || signal?.aborted === true || (await options.isEnded?.()) === true
      for (;;) {
        const chunk = Buffer.allocUnsafe(READ_BYTES)
        const bytesRead = file === undefined ? 0 : (await file.read(chunk, 0, chunk.length, position)).bytesRead
        if (bytesRead === 0) break
        position += bytesRead
        rest = Buffer.concat([rest, chunk.subarray(0, bytesRead)])
        for (let end = rest.indexOf(0x0a); end !== -1; end = rest.indexOf(0x0a)) {
          yield rest.subarray(0, end)
          rest = rest.subarray(end + 1)
        }
        if (rest.length > LINE_LIMIT) rest = Buffer.alloc(0)
      }
      const next = await startedAfresh(path, file, position)
      if (next !== undefined) {
        await file?.close()
        file = next
        position = 0
        rest = Buffer.alloc(0)
      } else if (ended) return
      else await changes?.next(signal)
    }
  } finally {
    await file?.close()
  }
}

/** The log when there is another one than the file that has been read up to `position`. */
async function startedAfresh(path: string, file: FileHandle | undefined, position: number): Promise<FileHandle | undefined> {
  const present = await openLog(path)
  if (present === undefined || file === undefined) return present
  const [now, then] = await Promise.all([present.stat({ bigint: true }), file.stat({ bigint: true })])
  if (now.ino !== then.ino || now.size < position) return present
  await present.close()
  return undefined
}

/** Wakes when a file changes, and now and then without a reason. */
class Changes implements Disposable {
  readonly #watcher: FSWatcher | undefined
  #wake = Promise.withResolvers<void>()

  constructor(path: string) {
    const name = basename(path)
    try {
      this.#watcher = watch(dirname(path), (_, changed) => {
        if (changed === name) this.#wake.resolve()
      })
    } catch (error) {
      // No directory, no watch, or too many of them: it is looked at now and then.
      if (errnoOf(error) === undefined) throw error
    }
    this.#watcher?.on('error', () => undefined)
  }

  async next(signal: AbortSignal | undefined): Promise<void> {
    const wake = (): void => this.#wake.resolve()
    const timer = setTimeout(wake, POLL_MS)
    signal?.addEventListener('abort', wake, { once: true })
    try {
      await this.#wake.promise
    } finally {
      this.#wake = Promise.withResolvers()
      clearTimeout(timer)
      signal?.removeEventListener('abort', wake)
    }
  }

  [Symbol.dispose](): void {
    this.#watcher?.close()
  }
}

/** Where the last `count` lines begin; the parts of one line (P, P, F) count as one. */
async function tailOffset(path: string, count: number): Promise<number> {
  await using file = await openLog(path)
  if (file === undefined) return 0
  const { size } = await file.stat()
  let found = 0
  for await (const { line, end } of linesBackwards(file, size)) {
    const isLast = end === size
    // Read backwards, a whole line or the last part of one is where the next wanted line shows up.
    if (isLast || HEAD.exec(line.toString('latin1', 0, 64))?.[4] === 'F') {
      if (found === count) return end
      found += 1
    }
  }
  return 0
}

/** The lines of a file from the last to the first, each with the offset at which it ends; reads no more than is asked for. */
async function* linesBackwards(file: FileHandle, size: number): AsyncGenerator<{ line: Buffer; end: number }, void, undefined> {
  let end = size
  let at = size
  let text = Buffer.alloc(0)
  while (at > 0) {
    const chunk = Buffer.alloc(Math.min(READ_BYTES, at))
    at -= chunk.length
    await file.read(chunk, 0, chunk.length, at)
    text = Buffer.concat([chunk, text])
    while (text.length > 1) {
      const newline = text.lastIndexOf(0x0a, text.length - 2)
      if (newline === -1) break
      yield { line: text.subarray(newline + 1), end }
      text = text.subarray(0, newline + 1)
      end = at + newline + 1
    }
  }
  if (text.length > 0) yield { line: text, end }
}
