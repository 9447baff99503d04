import { StrataError } from '../base/index.ts'
import { expandInstruction } from './expandInstruction.ts'
import { readFlags } from './flags.ts'
import type { ConfigInstruction } from './instruction.ts'
import { parseInstruction } from './parseInstruction.ts'
import type { Lookup } from './words.ts'

/** Those that `docker commit --change` takes. */
const CHANGES = [
  'CMD',
  'ENTRYPOINT',
  'ENV',
  'EXPOSE',
  'HEALTHCHECK',
  'LABEL',
  'ONBUILD',
  'STOPSIGNAL',
  'USER',
  'VOLUME',
  'WORKDIR',
] as const

type Change = Extract<ConfigInstruction, { readonly name: (typeof CHANGES)[number] }>

const ESCAPE: string = '\\'

/**
 * Reads one instruction that changes an image's config, as `commit --change` and `import --change` take it, its words expanded.
 *
 * @param lookup the variables that words may name: the image's environment
 * @throws StrataError `invalidArgument` (STRATA_DOCKERFILE_INSTRUCTION)
 */
export function parseConfigInstruction(line: string, lookup: Lookup): Change {
  const [, word = '', rest = ''] = /^\s*(\S+)\s*([\s\S]*?)\s*$/.exec(line) ?? []
  const problem = (state: string): StrataError =>
    new StrataError('invalidArgument', 'STRATA_DOCKERFILE_INSTRUCTION', `Cannot read instruction "${line.trim()}": ${state}`)
  const name = CHANGES.find(each => each === word.toUpperCase())
  if (name === undefined) throw problem(`"${word}" is not one of ${CHANGES.join(', ')}`)
  const { flags, rest: text } = name === 'HEALTHCHECK' ? readFlags(rest, ESCAPE) : { flags: [], rest }
  const given = { flags, text, heredocs: [], escape: ESCAPE, problem, flagProblem: (_: unknown, state: string) => problem(state) }
  return expandInstruction(parseInstruction(name, given) as Change, { lookup, escape: ESCAPE })
}
