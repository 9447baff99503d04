import { writeSync } from 'node:fs'
import type { Writable } from 'node:stream'
import { errnoOf, systemError } from '../base/index.ts'
import { giveUp } from './giveUp.ts'
import { visibleText } from './visible.ts'

/** The terminal's side of a stream; absent on pipes and files. */
export interface TerminalOutput extends Writable {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly rows?: number
}

/**
 * An output of this process. Texts are written by system calls until somebody asks for the stream: Node's streams take
 * longer to load than many a command runs.
 */
export class ProcessOutput {
  readonly #fd: number
  readonly #open: () => TerminalOutput
  #stream: TerminalOutput | undefined

  constructor(fd: number, open: () => TerminalOutput) {
    this.#fd = fd
    this.#open = open
  }

  /** What is written to it comes after all texts before. */
  get stream(): TerminalOutput {
    return (this.#stream ??= this.#open().on('error', outputFailed))
  }

  /** On a terminal, what steers one is shown instead: texts have names of strangers in them. */
  write(text: string): void {
    const visible = visibleText(text)
    const shown = visible !== text && this.stream.isTTY === true ? visible : text
    if (this.#stream === undefined) this.#writeNow(Buffer.from(shown))
    else this.#stream.write(shown)
  }

  /** Resolves when what was written so far has left this process: a pipe takes 64 KiB and then waits for its reader. */
  written(): Promise<void> {
    const stream = this.#stream
    if (stream === undefined || stream.writableLength === 0) return Promise.resolve()
    return new Promise(resolve => {
      stream.write('', () => resolve())
    })
  }

  #writeNow(bytes: Buffer): void {
    let rest = bytes
    try {
      while (rest.length > 0) rest = rest.subarray(writeSync(this.#fd, rest))
    } catch (error) {
      // A full pipe that somebody has made non-blocking: the stream waits for its reader.
      if (errnoOf(error) === 'EAGAIN') this.stream.write(rest)
      else outputFailed(error)
    }
  }
}

function outputFailed(error: unknown): never {
  // A reader that has left (`strata images | head -1`) ends the command as SIGPIPE ends others.
  if (errnoOf(error) === 'EPIPE') process.exit(141)
  giveUp(systemError('write the output', error))
}
