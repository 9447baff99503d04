import type { Invocation } from './invocation.ts'
import type { OptionTable, OptionValues } from './options.ts'

/** One verb: what it takes, and what it does. */
export interface Command {
  /** What follows the verb in the usage line: `[OPTIONS] IMAGE [COMMAND] [ARG...]`. */
  readonly usage: string
  /** What help tells besides the summary. */
  readonly notes?: string
  readonly options: OptionTable
  /** How many operands it takes: at least, at most. */
  readonly operands: readonly [number, number]
  /** Flags end at the first operand; what follows belongs to the container's command. */
  readonly stopsAtOperand?: boolean
  /** Resolves with the exit code. */
  run(invocation: Invocation, values: Readonly<Record<string, unknown>>, operands: readonly string[]): Promise<number>
}

interface Definition<O extends OptionTable> extends Omit<Command, 'options' | 'run'> {
  readonly options: O
  run(invocation: Invocation, values: OptionValues<O>, operands: readonly string[]): Promise<number>
}

/** Declares a verb; within `run` the values have the types of their flags. */
export function defineCommand<const O extends OptionTable>(definition: Definition<O>): Command {
  return definition
}
