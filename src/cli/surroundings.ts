import { spawnSync } from 'node:child_process'
import type { Readable } from 'node:stream'
import type { OpenEngine } from '../engine/index.ts'
import { ProcessOutput, type TerminalOutput } from './processOutput.ts'

export type { TerminalOutput }

export interface TerminalInput extends Readable {
  readonly isTTY?: boolean
}

/** All that a command touches besides its arguments; a test gives its own. */
export interface Surroundings {
  readonly stdin: TerminalInput
  readonly stdout: TerminalOutput
  readonly stderr: TerminalOutput
  /** Writes text to stdout as it is. */
  print(text: string): void
  /** Writes text to stderr as it is. */
  complain(text: string): void
  /** Resolves when all output has left this process. */
  written(): Promise<void>
  readonly env: Readonly<Record<string, string | undefined>>
  now(): Date
  /** Makes the terminal pass every byte on untouched, both ways, or gives it back as it was. */
  setRawTerminal(raw: boolean): void
  /** Calls back on a signal to this process, until the returned function is called. */
  onSignal(signal: NodeJS.Signals, listener: () => void): () => void
  openEngine: OpenEngine
  /**
   * The process ends with the command. Then the engine is left to the kernel: closing the last connection to a database
   * moves its log into it with several syncs, which the next one to open it does without when the log is short.
   */
  readonly endsProcess?: boolean
}

/** The surroundings of this process. Its streams are made, and the engine's code is loaded, by the first command that uses them. */
export function processSurroundings(): Surroundings {
  const stdout = new ProcessOutput(1, () => process.stdout)
  const stderr = new ProcessOutput(2, () => process.stderr)
  return {
    get stdin() {
      return process.stdin
    },
    get stdout() {
      return stdout.stream
    },
    get stderr() {
      return stderr.stream
    },
    print: text => stdout.write(text),
    complain: text => stderr.write(text),
    async written() {
      await Promise.all([stdout.written(), stderr.written()])
    },
    env: process.env,
    now: () => new Date(),
    setRawTerminal(raw) {
      process.stdin.setRawMode(raw)
      // Node's raw mode still turns \n into \r\n on the way out, where a full-screen program in a
      // container means "one line down". Taking raw mode back undoes this, too.
      if (raw) spawnSync('stty', ['-opost'], { stdio: ['inherit', 'ignore', 'ignore'] })
    },
    onSignal(signal, listener) {
      process.on(signal, listener)
      return () => process.off(signal, listener)
    },
    async openEngine(options) {
      const { openEngine } = await import('../engine/index.ts')
      return openEngine(options)
    },
    endsProcess: true,
  }
}
