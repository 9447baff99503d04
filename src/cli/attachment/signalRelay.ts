import type { Surroundings } from '../surroundings.ts'

/** What a terminal, a shell and service managers send; the rest ends this process or cannot be caught. */
const RELAYED = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGCONT'] as const

/** A process that ignores signals must not hold the user: docker gives up after so many, too. */
const INSISTENCE = 3

/**
 * Signals to this process while a container is in the foreground: before it runs, Ctrl-C and SIGTERM
 * abort what is under way; from then on every signal is passed on.
 */
export class SignalRelay {
  readonly #aborted = new AbortController()
  readonly #gaveUp = Promise.withResolvers<'gave up'>()
  readonly #stops: readonly (() => void)[]
  #send: ((signal: string) => Promise<void>) | undefined
  #ends = 0

  constructor(surroundings: Surroundings) {
    this.#stops = RELAYED.map(name => surroundings.onSignal(name, () => this.#receive(name)))
  }

  /** Aborted by a signal before `forwardTo`. */
  get signal(): AbortSignal {
    return this.#aborted.signal
  }

  /** Settles when the user has asked three times and the process still runs. */
  get gaveUp(): Promise<'gave up'> {
    return this.#gaveUp.promise
  }

  forwardTo(send: (signal: string) => Promise<void>): void {
    this.#send = send
  }

  /** From now on signals do to this process what they do to any other. */
  stop(): void {
    for (const stop of this.#stops) stop()
  }

  #receive(name: (typeof RELAYED)[number]): void {
    const ends = name === 'SIGINT' || name === 'SIGTERM'
    if (this.#send === undefined) {
      if (ends || name === 'SIGHUP' || name === 'SIGQUIT') this.#aborted.abort(new Error(`interrupted by ${name}`))
      return
    }
    if (ends) this.#ends += 1
    if (this.#ends >= INSISTENCE) this.#gaveUp.resolve('gave up')
    // The process may have ended meanwhile; then there is nobody to tell.
    this.#send(name.slice('SIG'.length)).catch(() => undefined)
  }
}
