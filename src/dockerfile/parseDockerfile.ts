import type { Arguments } from './arguments.ts'
import { readFlags } from './flags.ts'
import type { Instruction } from './instruction.ts'
import { INSTRUCTION_NAMES, parseInstruction, WITH_FLAGS } from './parseInstruction.ts'
import { type Place, problemAt } from './place.ts'
import { type Directives, type LogicalLine, readSource } from './sourceLines.ts'

/** An instruction of a Dockerfile, and where it stands. */
export interface Statement {
  readonly instruction: Instruction
  /** As it is written, on one line, without its here-documents. */
  readonly text: string
  readonly place: Place
  /** The last line of the file that belongs to it. */
  readonly lastLine: number
  /** Comments right above it, without their mark. */
  readonly comments: readonly string[]
}

/** A `FROM` and what follows. */
export interface Stage {
  readonly from: Statement
  readonly statements: readonly Statement[]
}

export interface Dockerfile {
  readonly directives: Directives
  /** The lines of the file, for messages. */
  readonly source: readonly string[]
  /** Before the first stage: arguments that FROM can name. */
  readonly globals: readonly Statement[]
  readonly stages: readonly Stage[]
}

/**
 * Reads a Dockerfile. Dockerfile reference.
 *
 * @throws StrataError `invalidArgument` (STRATA_DOCKERFILE_INVALID), with the place and the line
 */
export function parseDockerfile(text: string): Dockerfile {
  const { source, directives, lines } = readSource(text)
  const globals: Statement[] = []
  const stages: { readonly from: Statement; readonly statements: Statement[] }[] = []
  for (const line of lines) {
    const statement = readStatement(line, source, directives.escape)
    const { name } = statement.instruction
    const stage = stages.at(-1)
    if (name === 'FROM') stages.push({ from: statement, statements: [] })
    else if (stage !== undefined) stage.statements.push(statement)
    else if (name === 'ARG') globals.push(statement)
    else throw problemAt(source, statement.place, `${name} comes before the first FROM`, 'Only ARG may.')
  }
  if (stages.length === 0) throw problemAt(source, { line: 1, column: 1 }, 'it has no FROM')
  return { directives, source, globals, stages }
}

function readStatement(line: LogicalLine, source: readonly string[], escape: string): Statement {
  const [, word = '', blank = '', rest = ''] = /^(\S+)(\s*)([\s\S]*)$/.exec(line.text) ?? []
  const name = INSTRUCTION_NAMES.find(each => each === word.toUpperCase())
  const place = line.placeOf(0)
  if (name === undefined) throw problemAt(source, place, `"${word}" is no instruction`, suggestion(word))
  const begin = word.length + blank.length
  const { flags, rest: text, offset } = WITH_FLAGS.has(name) ? readFlags(rest, escape) : { flags: [], rest, offset: 0 }
  const given: Arguments = {
    flags,
    text,
    heredocs: line.heredocs,
    escape,
    problem: (state, at = 0) => problemAt(source, line.placeOf(begin + offset + at), state),
    flagProblem: (flag, state) => problemAt(source, line.placeOf(begin + flag.offset), state),
  }
  return { instruction: parseInstruction(name, given), text: line.text, place, lastLine: line.last, comments: line.comments }
}

/** The instruction that somebody may have meant: one letter away, or two letters changed with each other. */
function suggestion(word: string): string | undefined {
  const upper = word.toUpperCase()
  const meant = INSTRUCTION_NAMES.find(name => isNear(upper, name))
  return meant === undefined ? undefined : `Did you mean ${meant}?`
}

function isNear(one: string, other: string): boolean {
  if (Math.abs(one.length - other.length) > 1) return false
  let from = 0
  while (from < one.length && one[from] === other[from]) from += 1
  const [a, b] = [one.slice(from), other.slice(from)]
  return a.slice(1) === b.slice(1) || a === b.slice(1) || a.slice(1) === b || (a[0] === b[1] && a[1] === b[0] && a.slice(2) === b.slice(2))
}
