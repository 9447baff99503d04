import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync, closeSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from '../measure/measure.ts'

export interface DaemonOptions {
  /** File for what it prints. */
  readonly log: string
  /** Rejects while the daemon does not answer yet. */
  readonly answers: () => Promise<unknown>
}

const START_MS = 30_000
const STOP_MS = 30_000

/** A server that runs for as long as a benchmark needs it. Stopped by its process id. */
export class Daemon implements AsyncDisposable {
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  /** Resolves when the daemon answers; rejects with the end of its log when it does not within half a minute. */
  static async start(command: Command, options: DaemonOptions): Promise<Daemon> {
    const log = openSync(options.log, 'w')
    // In a session of its own: Ctrl-C in the terminal is for the benchmark, which then stops it in order.
    const child = spawn(command.file, command.args, {
      stdio: ['ignore', log, log],
      detached: true,
      ...(command.env === undefined ? {} : { env: { ...command.env } }),
    })
    closeSync(log)
    const daemon = new Daemon(child)
    try {
      await once(child, 'spawn')
      await daemon.#answers(options)
      return daemon
    } catch (error) {
      await daemon[Symbol.asyncDispose]()
      throw error
    }
  }

  async #answers(options: DaemonOptions): Promise<void> {
    const deadline = Date.now() + START_MS
    for (;;) {
      try {
        await options.answers()
        return
      } catch (cause) {
        if (this.#hasEnded() || Date.now() > deadline) {
          const log = await readFile(options.log, 'utf8')
          throw new Error(`Cannot start "${this.#child.spawnargs.join(' ')}": ${log.trim().slice(-1500)}`, { cause })
        }
      }
      await sleep(30)
    }
  }

  #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.pid === undefined || this.#hasEnded()) return
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    const waited = new AbortController()
    await Promise.race([
      ended,
      sleep(STOP_MS, undefined, { signal: waited.signal }).then(
        () => this.#child.kill('SIGKILL'),
        () => undefined,
      ),
    ])
    waited.abort()
    if (!this.#hasEnded()) await ended
  }
}
