import type { AttachedStreams, StreamName, TerminalSize } from '../../engine/index.ts'
import type { Surroundings, TerminalOutput } from '../surroundings.ts'

export interface LocalStreams {
  readonly streams: AttachedStreams
  /** Gives the terminal back as it was; repetition does no harm. */
  readonly restore: () => void
}

export interface LocalStreamsOptions {
  readonly names: readonly StreamName[]
  readonly tty: boolean
  readonly detachKeys: string | undefined
}

/**
 * This process's stdio as the near end of a container's. With a tty on both sides the terminal is in
 * raw mode from the moment the container's stdin is first read, so that Ctrl-C still works before.
 */
export function localStreams(surroundings: Surroundings, { names, tty, detachKeys }: LocalStreamsOptions): LocalStreams {
  const { stdout, stderr } = surroundings
  const sizes = new SizeFeed(stdout)
  let raw = false
  const restore = (): void => {
    sizes.close()
    if (raw) surroundings.setRawTerminal(false)
    raw = false
  }
  async function* typed(): AsyncGenerator<Uint8Array> {
    const { stdin } = surroundings
    if (tty && stdin.isTTY === true) {
      surroundings.setRawTerminal(true)
      raw = true
    }
    for await (const chunk of stdin) yield chunk as Uint8Array
  }
  return {
    streams: {
      ...(names.includes('stdin') ? { stdin: typed() } : {}),
      ...(names.includes('stdout') ? { stdout } : {}),
      ...(names.includes('stderr') ? { stderr } : {}),
      ...(tty && stdout.isTTY === true ? { resizes: sizes.sizes() } : {}),
      ...(detachKeys === undefined ? {} : { detachKeys }),
    },
    restore,
  }
}

/** The sizes of a terminal: the present one, then the newest after each change. */
class SizeFeed {
  readonly #terminal: TerminalOutput
  #changed = Promise.withResolvers<void>()
  #closed = false
  readonly #onResize = (): void => this.#changed.resolve()

  constructor(terminal: TerminalOutput) {
    this.#terminal = terminal
  }

  async *sizes(): AsyncGenerator<TerminalSize> {
    this.#terminal.on('resize', this.#onResize)
    try {
      while (!this.#closed) {
        this.#changed = Promise.withResolvers<void>()
        const { columns, rows } = this.#terminal
        if (columns !== undefined && rows !== undefined) yield { columns, rows }
        if (!this.#closed) await this.#changed.promise
      }
    } finally {
      this.#terminal.off('resize', this.#onResize)
    }
  }

  close(): void {
    this.#closed = true
    this.#changed.resolve()
  }
}
