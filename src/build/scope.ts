import type { ArgInstruction, Expansion } from '../dockerfile/index.ts'
import { expandInstruction } from '../dockerfile/index.ts'

/**
 * Arguments that every build takes without an ARG, and whose values change no cache key and stand in no history: they say how this
 * machine reaches the network. Dockerfile reference, "Predefined ARGs".
 */
export const PROXY_ARGUMENTS: ReadonlySet<string> = new Set(
  ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY'].flatMap(name => [name, name.toLowerCase()]),
)

export interface ScopeOptions {
  /** What `--build-arg` gives. */
  readonly buildArguments: ReadonlyMap<string, string>
  /** Arguments from before the first FROM, and those of the platforms: what an ARG without a value takes. */
  readonly globals: ReadonlyMap<string, string>
  readonly escape: string
}

/** The variables that the words of a stage may name: its environment, and the arguments that it has declared. */
export class StageScope {
  readonly #options: ScopeOptions
  readonly #arguments = new Map<string, string | undefined>()
  #environment: ReadonlyMap<string, string>

  constructor(options: ScopeOptions, environment: ReadonlyMap<string, string> = new Map()) {
    this.#options = options
    this.#environment = environment
  }

  /** A variable of the environment hides an argument of its name. Dockerfile reference, "Using ARG variables". */
  get expansion(): Expansion {
    return { lookup: name => this.#environment.get(name) ?? this.#arguments.get(name), escape: this.#options.escape }
  }

  /** The environment from here on. */
  set environment(environment: ReadonlyMap<string, string>) {
    this.#environment = environment
  }

  /** What ARG declares, from here on: the value that was given, or the default. */
  declare(instruction: ArgInstruction): void {
    const { buildArguments, globals } = this.#options
    for (const pair of instruction.pairs) {
      // One after the other: a default may name those before it.
      const [resolved] = expandInstruction({ ...instruction, pairs: [pair] }, this.expansion).pairs
      const [name, value] = resolved!
      this.#arguments.set(name, buildArguments.get(name) ?? value ?? globals.get(name))
    }
  }

  /** The arguments that a command sees in its environment, sorted; not those that the environment hides. */
  get arguments(): readonly (readonly [name: string, value: string])[] {
    return [...this.#arguments]
      .flatMap(([name, value]) => (value === undefined || this.#environment.has(name) ? [] : [[name, value] as const]))
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
  }
}
