import { Command as Parser, CommanderError, Option } from 'commander'
import type { OptionSpec, OptionTable } from './options.ts'
import { UsageError } from './usageError.ts'

export interface CommandLine {
  readonly values: Readonly<Record<string, unknown>>
  readonly operands: readonly string[]
  readonly helpWanted: boolean
}

/**
 * Reads a command's flags and operands with docker's rules: flags are repeated, combined (`-it`),
 * joined with their value (`-p80:80`, `--name=x`) or not, and stand anywhere, or with
 * `stopsAtOperand` only before the first operand.
 *
 * Rejects with a UsageError in docker's words.
 */
export function readCommandLine(table: OptionTable, argv: readonly string[], stopsAtOperand: boolean): CommandLine {
  const values: Record<string, unknown> = {}
  const parser = new Parser().exitOverride().configureOutput({ writeErr: () => undefined, writeOut: () => undefined })
  parser.helpCommand(false).helpOption(false).passThroughOptions(stopsAtOperand)
  let helpWanted = false

  const add = (name: string, spec: OptionSpec<unknown>, option: Option, typed?: string): void => {
    // Commander takes `--no-x` for the opposite of `--x`; docker's `--no-trunc` is a flag as any other.
    option.negate = false
    if (!parser.options.includes(option)) parser.addOption(option)
    parser.on(`option:${option.name()}`, (value: string | undefined) => {
      values[name] = readValue(name, spec, typed ?? value ?? 'true', values[name])
    })
  }

  for (const [name, spec] of Object.entries(table)) {
    values[name] = spec.initial
    const flags = `${spec.short === undefined ? '' : `-${spec.short}, `}--${name}`
    add(name, spec, new Option(spec.value === undefined ? flags : `${flags} <value>`))
    for (const spelled of spelledFlags(name, spec, argv)) {
      const option = new Option(`--${name}-spelled`)
      option.long = spelled
      add(name, spec, option, spelled.slice(spelled.indexOf('=') + 1))
    }
  }
  for (const { word, flags, typed } of combinedFlags(table, argv)) {
    const option = new Option('--combined')
    option.long = word
    for (const [index, [name, spec]] of flags.entries()) add(name, spec, option, index === flags.length - 1 ? typed : 'true')
  }
  const help = new Option(Object.values(table).some(spec => spec.short === 'h') ? '--help' : '-h, --help')
  parser.addOption(help)
  parser.on('option:help', () => {
    helpWanted = true
  })

  let parsed: { operands: string[]; unknown: string[] }
  try {
    parsed = parser.parseOptions([...argv])
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    throw new UsageError(`flag needs an argument: ${missingArgument(error.message, argv)}`, 'flag')
  }
  const [unknown] = parsed.unknown
  if (unknown !== undefined && !helpWanted) throw new UsageError(describeUnknown(unknown), 'flag')
  return { values, operands: parsed.operands, helpWanted }
}

/** Commander has no `--flag=false` and no `-n=3`; each such word on the command line becomes a flag of its own. */
function spelledFlags(name: string, spec: OptionSpec<unknown>, argv: readonly string[]): ReadonlySet<string> {
  const long = spec.value === undefined ? `--${name}=` : undefined
  const short = spec.short === undefined ? undefined : `-${spec.short}=`
  return new Set(argv.filter(word => [long, short].some(start => start !== undefined && word.startsWith(start))))
}

/** The same for `-it=false`: all letters are flags without a value but the last, which has that one. */
function combinedFlags(
  table: OptionTable,
  argv: readonly string[],
): readonly { readonly word: string; readonly flags: readonly (readonly [string, OptionSpec<unknown>])[]; readonly typed: string }[] {
  const byLetter = new Map(Object.entries(table).map(entry => [entry[1].short, entry] as const))
  return [...new Set(argv)].flatMap(word => {
    const [, letters = '', typed = ''] = /^-([a-zA-Z]{2,})=(.*)$/s.exec(word) ?? []
    const flags = Array.from(letters, letter => byLetter.get(letter)).filter(entry => entry !== undefined)
    const isKnown = flags.length === letters.length && flags.slice(0, -1).every(([, spec]) => spec.value === undefined)
    return flags.length > 0 && isKnown ? [{ word, flags, typed }] : []
  })
}

function readValue(name: string, spec: OptionSpec<unknown>, typed: string, before: unknown): unknown {
  try {
    return spec.read(typed, before)
  } catch (error) {
    const flags = spec.short === undefined ? `--${name}` : `-${spec.short}, --${name}`
    throw new UsageError(`invalid argument "${typed}" for "${flags}" flag: ${(error as Error).message}`, 'flag')
  }
}

function describeUnknown(word: string): string {
  if (word.startsWith('--')) return `unknown flag: ${word.replace(/=.*/s, '')}`
  return `unknown shorthand flag: '${word[1]}' in ${word}`
}

/** The flag at the end of the command line that has no value, as docker names it. */
function missingArgument(message: string, argv: readonly string[]): string {
  const last = argv.at(-1) ?? message
  return last.startsWith('--') ? last : `'${last.at(-1)}' in ${last}`
}
