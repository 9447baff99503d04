import { StrataError } from '../base/index.ts'
import type { Engine } from '../engine/index.ts'
import { formatError } from './errors.ts'
import { engineOptions, type Globals } from './globals.ts'
import type { Surroundings } from './surroundings.ts'

/** One run of one command: its surroundings, its engine, and where it writes. */
export class Invocation {
  readonly surroundings: Surroundings
  readonly globals: Globals
  #engine: Promise<Engine> | undefined
  readonly #interrupted = new AbortController()
  #stopListening: (() => void) | undefined

  constructor(surroundings: Surroundings, globals: Globals) {
    this.surroundings = surroundings
    this.globals = globals
  }

  /** The engine; opened by the first call. */
  engine(): Promise<Engine> {
    this.#engine ??= this.surroundings.openEngine(
      engineOptions(this.globals, { env: this.surroundings.env, log: line => this.complain(line) }),
    )
    return this.#engine
  }

  /** A signal for long calls: Ctrl-C and SIGTERM abort it, so that nothing is left half-done. */
  interruption(): AbortSignal {
    if (this.#stopListening === undefined) {
      const stops = (['SIGINT', 'SIGTERM'] as const).map(name =>
        this.surroundings.onSignal(name, () =>
          this.#interrupted.abort(
            new StrataError('cancelled', name === 'SIGTERM' ? 'STRATA_TERMINATED' : 'STRATA_CANCELLED', `interrupted by ${name}`),
          ),
        ),
      )
      this.#stopListening = () => stops.forEach(stop => stop())
    }
    return this.#interrupted.signal
  }

  /** Writes to stdout as it is. */
  print(text: string): void {
    this.surroundings.print(text)
  }

  printLine(text: string): void {
    this.print(`${text}\n`)
  }

  /** Writes to stderr as it is. */
  complain(text: string): void {
    this.surroundings.complain(text)
  }

  warn(text: string): void {
    this.complain(`WARNING: ${text}\n`)
  }

  /** Says what went wrong with one of several things, for commands that go on with the next. */
  report(error: unknown): void {
    this.complain(`${formatError(error, this.globals.debug)}\n`)
  }

  /** Does the same to each of the names; what fails is reported, and the exit code tells. */
  async forEach(names: readonly string[], action: (name: string) => Promise<void>): Promise<number> {
    let status = 0
    for (const name of names) {
      try {
        await action(name)
      } catch (error) {
        this.report(error)
        status = 1
      }
    }
    return status
  }

  async close(): Promise<void> {
    this.#stopListening?.()
    if (this.surroundings.endsProcess === true) return
    const engine = await this.#engine?.catch(() => undefined)
    await engine?.close()
  }
}
