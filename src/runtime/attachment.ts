import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf, systemError } from '../base/index.ts'
import { connectSeqpacket, type SeqpacketSocket } from '../host/index.ts'
import type { ConsoleSize } from './runtimeSpec.ts'

/** First byte of a message of conmon's attach socket; conmon's `pipe_type_t`. */
const STDOUT = 2
const STDERR = 3

/** conmon reads at most this much at once from an attach socket; what is longer would be cut. */
const MESSAGE_BYTES = 8192

/** First word of a line of conmon's control FIFO that carries a terminal's size. */
const RESIZE = 1

export interface OutputChunk {
  readonly stream: 'stdout' | 'stderr'
  readonly bytes: Uint8Array
}

/** One connection to the stdio of a monitored process; several may exist at once, all get all output from then on. */
export class Attachment implements Disposable {
  readonly #socket: SeqpacketSocket
  readonly #directory: string

  constructor(socket: SeqpacketSocket, directory: string) {
    this.#socket = socket
    this.#directory = directory
  }

  /** What the process writes from now on, until it has ended or `close`. Read it once. */
  async *output(): AsyncGenerator<OutputChunk, void, undefined> {
    for await (const message of this.#socket.messages()) {
      const bytes = message.subarray(1)
      if (message[0] === STDERR) yield { stream: 'stderr', bytes }
      else if (message[0] === STDOUT) yield { stream: 'stdout', bytes }
    }
  }

  /** Writes to the process's stdin. A process that has ended takes nothing more, and that is no error. */
  async write(bytes: Uint8Array): Promise<void> {
    try {
      for (let at = 0; at < bytes.length; at += MESSAGE_BYTES) await this.#socket.send(bytes.subarray(at, at + MESSAGE_BYTES))
    } catch (error) {
      if (!['EPIPE', 'EBADF', 'ECONNRESET', 'ENOTCONN'].includes(errnoOf(error) ?? '')) throw systemError('write to the process', error)
    }
  }

  /** Ends the process's stdin (unless it was told to stay open); its output still comes. */
  endInput(): void {
    this.#socket.finish()
  }

  /** Tells the process's terminal its size. */
  async resize(size: ConsoleSize): Promise<void> {
    await resizeTerminal(this.#directory, size)
  }

  /** Goes away; the process runs on. */
  close(): void {
    this.#socket.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/**
 * Attaches to a monitored container or exec session.
 *
 * @param directory that of `Monitor.create` or `Monitor.exec`
 * @throws notFound when nothing runs there
 */
export function attach(directory: string): Attachment {
  try {
    return new Attachment(connectSeqpacket(join(directory, 'attach')), directory)
  } catch (error) {
    throw systemError('attach to the process', error)
  }
}

/** Sets the size of the terminal of a monitored process, in characters; one that has ended is no error. */
export async function resizeTerminal(directory: string, size: ConsoleSize): Promise<void> {
  try {
    // Without O_NONBLOCK the open would wait for a reader for ever once the monitor has gone.
    await using control = await open(join(directory, 'ctl'), constants.O_WRONLY | constants.O_NONBLOCK)
    await control.write(`${RESIZE} ${size.height} ${size.width}\n`)
  } catch (error) {
    if (!['ENXIO', 'ENOENT', 'EPIPE'].includes(errnoOf(error) ?? '')) throw systemError('resize the terminal', error)
  }
}
