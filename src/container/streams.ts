import type { Writable } from 'node:stream'
import type { ByteStream } from '../base/index.ts'

export interface TerminalSize {
  readonly columns: number
  readonly rows: number
}

/**
 * The near end of a container's stdio. Streams that are absent are not attached.
 *
 * The end of `stdin` closes the container's stdin (half close): what it still writes arrives.
 * `stdout` and `stderr` are written with respect for back-pressure and are never ended.
 */
export interface AttachedStreams {
  readonly stdin?: ByteStream
  /** With a tty everything the container writes arrives here. */
  readonly stdout?: Writable
  readonly stderr?: Writable
  /** The terminal's sizes: the first at once, then one for each change. Read only with a tty. */
  readonly resizes?: AsyncIterable<TerminalSize>
  /** Keys that end the attachment and leave the container running, as docker writes them; '' is none. Default `ctrl-p,ctrl-q`; looked for only with a tty. */
  readonly detachKeys?: string
}

/** How an attachment ended: the process did, or the user typed the detach keys. */
export type AttachmentEnd = { readonly kind: 'exited'; readonly exitCode: number } | { readonly kind: 'detached' }
