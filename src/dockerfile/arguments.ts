import type { Flag } from './flags.ts'
import type { Heredoc } from './sourceLines.ts'
import type { StrataError } from '../base/index.ts'

/** What stands behind the name of an instruction. */
export interface Arguments {
  readonly flags: readonly Flag[]
  /** Without the flags. */
  readonly text: string
  readonly heredocs: readonly Heredoc[]
  readonly escape: string
  /**
   * Makes the error that says what is wrong.
   *
   * @param offset where in `text` it is; default its beginning
   */
  problem(state: string, offset?: number): StrataError
  /** The same for a flag. */
  flagProblem(flag: Flag, state: string): StrataError
}

/** A word and where it begins in the arguments' text. */
export interface Word {
  readonly text: string
  readonly offset: number
}

/** Words between blanks; quotes mean nothing here. */
export function wordsOf(text: string): readonly Word[] {
  return [...text.matchAll(/\S+/g)].map(match => ({ text: match[0], offset: match.index }))
}

/** The flags of an instruction, each checked when it is taken. */
export class Flags {
  readonly #arguments: Arguments
  readonly #left: Flag[]

  constructor(given: Arguments) {
    this.#arguments = given
    this.#left = [...given.flags]
  }

  /** The value of a flag that may be there once. */
  text(name: string): string | undefined {
    const [flag, second] = this.#take(name)
    if (second !== undefined) throw this.#arguments.flagProblem(second, `--${name} is there twice`)
    return flag === undefined ? undefined : this.#valueOf(flag)
  }

  /** The values of one that may be repeated. */
  texts(name: string): readonly string[] {
    return this.#take(name).map(flag => this.#valueOf(flag))
  }

  /** One that needs no value. */
  switch(name: string): boolean | undefined {
    const [flag, second] = this.#take(name)
    if (second !== undefined) throw this.#arguments.flagProblem(second, `--${name} is there twice`)
    if (flag === undefined) return undefined
    const value = booleanOf(flag.value ?? 'true')
    if (value === undefined) throw this.#arguments.flagProblem(flag, `--${name} is true or false, not "${flag.value}"`)
    return value
  }

  /** One of a few words. */
  choice<Choice extends string>(name: string, choices: readonly Choice[]): Choice | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const chosen = choices.find(choice => choice === text)
    if (chosen === undefined) {
      const flag = this.#arguments.flags.find(each => each.name === name)!
      throw this.#arguments.flagProblem(flag, `--${name} is one of ${choices.join(', ')}, not "${text}"`)
    }
    return chosen
  }

  /** @throws for a flag that nobody took */
  end(instruction: string): void {
    const [unknown] = this.#left
    if (unknown !== undefined) throw this.#arguments.flagProblem(unknown, `${instruction} has no flag --${unknown.name}`)
  }

  #take(name: string): readonly Flag[] {
    const found = this.#left.filter(flag => flag.name === name)
    for (const flag of found) this.#left.splice(this.#left.indexOf(flag), 1)
    return found
  }

  #valueOf(flag: Flag): string {
    if (flag.value === undefined || flag.value === '') throw this.#arguments.flagProblem(flag, `--${flag.name} needs a value`)
    return flag.value
  }
}

/** As Go's strconv.ParseBool reads it. */
export function booleanOf(text: string): boolean | undefined {
  if (/^(?:1|t|T|true|TRUE|True)$/.test(text)) return true
  return /^(?:0|f|F|false|FALSE|False)$/.test(text) ? false : undefined
}
