import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { type ByteStream, errnoOf } from '../base/index.ts'
import type { Attachment } from '../runtime/index.ts'
import { DetachKeys } from './detachKeys.ts'
import type { ProcessPipes } from './processPipes.ts'
import type { AttachedStreams, TerminalSize } from './streams.ts'

/** Writes with respect for back-pressure. A reader that has gone away is no error: the process writes on for the log. */
export async function writeTo(target: Writable | undefined, bytes: Uint8Array): Promise<void> {
  if (target === undefined || target.destroyed || target.writableEnded) return
  try {
    if (!target.write(bytes) && !target.destroyed) await drained(target)
  } catch (error) {
    if (!['EPIPE', 'ECONNRESET', 'ERR_STREAM_DESTROYED'].includes((error as { code?: string }).code ?? '')) throw error
  }
}

/** Waits until a stream takes more, or none ever again. Leaves no listener behind: a stream drains a thousand times. */
async function drained(target: Writable): Promise<void> {
  const settled = new AbortController()
  try {
    await Promise.race(['drain', 'close'].map(event => once(target, event, { signal: settled.signal })))
  } finally {
    settled.abort()
  }
}

/** Gives all of a stream to a process; its end is the end of the process's input. */
export async function feed(source: ByteStream, target: Writable): Promise<void> {
  // A process that reads no more breaks the pipe, and says so through its exit code if at all.
  target.on('error', () => undefined)
  for await (const chunk of source) {
    if (target.destroyed) return
    await writeTo(target, chunk)
  }
  target.end()
}

/** How long the first word on the error stream waits to see whether it is the process's own. */
const COMPLAINT_MS = 100

type Take = (bytes: Uint8Array) => Promise<void>

/**
 * Passes on what a process of the foreground writes, to the end. When it could not be started, the
 * runtime complains on the same stream: `ended` rejects with that, and nobody shall read it twice.
 */
export async function forwardOutput(
  pipes: Pick<ProcessPipes, 'stdout' | 'stderr'>,
  ended: Promise<number>,
  take: { readonly stdout: Take; readonly stderr: Take },
): Promise<void> {
  const started = Promise.withResolvers<boolean>()
  ended.then(
    () => started.resolve(true),
    () => started.resolve(false),
  )
  const forwardStdout = async (): Promise<void> => {
    for await (const chunk of pipes.stdout as AsyncIterable<Buffer>) {
      started.resolve(true)
      // What was held back of the error stream came before this.
      await started.promise
      await take.stdout(chunk)
    }
  }
  const forwardStderr = async (): Promise<void> => {
    for await (const chunk of pipes.stderr as AsyncIterable<Buffer>) {
      const timer = setTimeout(() => started.resolve(true), COMPLAINT_MS)
      const isOwn = await started.promise
      clearTimeout(timer)
      if (!isOwn) return
      await take.stderr(chunk)
    }
  }
  await Promise.all([forwardStdout(), forwardStderr()])
}

/**
 * Connects the near end of a monitored process's stdio with its far end, until the process has ended
 * or the user has typed the detach keys.
 */
export async function relay(attachment: Attachment, streams: AttachedStreams, tty: boolean): Promise<'ended' | 'detached'> {
  const detached = Promise.withResolvers<'detached'>()
  const output = forwardAttached(attachment, streams, tty)
  if (streams.stdin !== undefined) {
    const keys = tty ? new DetachKeys(streams.detachKeys) : undefined
    feedAttachment(attachment, streams.stdin, { keys, tty }).then(
      end => {
        if (end === 'detached') detached.resolve('detached')
      },
      (error: unknown) => detached.reject(error),
    )
  }
  if (tty && streams.resizes !== undefined) void followSizes(attachment, streams.resizes)
  try {
    return await Promise.race([output.then(() => 'ended' as const), detached.promise])
  } finally {
    attachment.close()
  }
}

async function forwardAttached(attachment: Attachment, streams: AttachedStreams, tty: boolean): Promise<void> {
  for await (const { stream, bytes } of attachment.output()) {
    await writeTo(tty || stream === 'stdout' ? streams.stdout : streams.stderr, bytes)
  }
}

async function feedAttachment(
  attachment: Attachment,
  source: ByteStream,
  { keys, tty }: { readonly keys: DetachKeys | undefined; readonly tty: boolean },
): Promise<'detached' | 'ended'> {
  for await (const chunk of source) {
    const { passed, isDetached } = keys === undefined ? { passed: chunk, isDetached: false } : keys.take(chunk)
    if (passed.length > 0) await attachment.write(passed)
    if (isDetached) return 'detached'
  }
  // A terminal that is closed for writing would end for everybody.
  if (!tty) attachment.endInput()
  return 'ended'
}

async function followSizes(attachment: Attachment, sizes: AsyncIterable<TerminalSize>): Promise<void> {
  try {
    for await (const { columns, rows } of sizes) await attachment.resize({ width: columns, height: rows })
  } catch (error) {
    // The process has ended: there is no terminal any more.
    if (errnoOf(error) === undefined) throw error
  }
}
