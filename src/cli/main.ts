import { type CommandEntry, COMMANDS, GROUPS, type LoadCommand } from './commandTable.ts'
import type { Command } from './command.ts'
import { readCommandLine } from './commandLine.ts'
import { formatError } from './errors.ts'
import { GLOBAL_OPTIONS, type Globals } from './globals.ts'
import { Invocation } from './invocation.ts'
import { exitStatus } from './status.ts'
import type { Surroundings } from './surroundings.ts'
import { UsageError } from './usageError.ts'

/**
 * The command `strata`.
 *
 * @param argv the words after the program's name
 * Resolves with the exit code when all output is written; what goes wrong is printed on stderr.
 */
export async function main(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  const status = await runCommandLine(argv, surroundings)
  await surroundings.written()
  return status
}

async function runCommandLine(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  try {
    const globalLine = readCommandLine(GLOBAL_OPTIONS, argv, true)
    const globals = globalLine.values as Globals
    const [first] = globalLine.operands
    if (globals.version) return await printVersion(surroundings)
    if (first === undefined || globalLine.helpWanted) return await printHelp(surroundings, globalLine.operands)
    if (first === 'help') return await printHelp(surroundings, globalLine.operands.slice(1))
    return await dispatch(globalLine.operands, globals, surroundings)
  } catch (error) {
    return complain(error, surroundings, undefined)
  }
}

/** Finds the verb, one word or two, and runs it. */
async function dispatch(words: readonly string[], globals: Globals, surroundings: Surroundings): Promise<number> {
  const group = GROUPS[words[0]!] !== undefined
  const length = group ? 2 : 1
  const path = words.slice(0, length).join(' ')
  const entry = COMMANDS.find(entry => entry.path === path)
  if (entry === undefined) return unknownVerb(words, group, surroundings)
  const command = await entry.load()
  const invocation = new Invocation(surroundings, globals)
  try {
    const line = readCommandLine(command.options, words.slice(length), command.stopsAtOperand === true)
    if (line.helpWanted) {
      const { commandHelp } = await import('./help.ts')
      invocation.print(commandHelp(path, command, entry))
      return 0
    }
    checkOperands(path, command, line.operands.length)
    return await command.run(invocation, line.values, line.operands)
  } catch (error) {
    return complain(error, surroundings, { path, entry, command, debug: globals.debug })
  } finally {
    await invocation.close()
  }
}

function checkOperands(path: string, command: Command, count: number): void {
  const [least, most] = command.operands
  if (count >= least && count <= most) return
  const bound = least === most ? '' : count < least ? 'at least ' : 'at most '
  const number = count < least ? least : most
  const wanted = most === 0 ? 'accepts no arguments' : `requires ${bound}${number} argument${number === 1 ? '' : 's'}`
  throw new UsageError(`'strata ${path}' ${wanted}`, 'operands')
}

interface Failed {
  readonly path: string
  readonly entry: CommandEntry
  readonly command: Command
  readonly debug: boolean
}

function complain(error: unknown, surroundings: Surroundings, failed: Failed | undefined): number {
  const name = failed === undefined ? 'strata' : `strata ${failed.path}`
  if (error instanceof UsageError) {
    const message = error.fault === 'operands' ? `strata: ${error.message}` : error.message
    const usage = `Usage:  ${name} ${failed === undefined ? '[OPTIONS] COMMAND [ARG...]' : failed.command.usage}`.trimEnd()
    surroundings.complain(`${message}\n\n${usage}\n\nRun '${name} --help' for more information\n`)
  } else {
    surroundings.complain(`${formatError(error, failed?.debug)}\n`)
  }
  return exitStatus(error, failed?.path ?? '')
}

async function unknownVerb(words: readonly string[], group: boolean, surroundings: Surroundings): Promise<number> {
  const [first, second] = words as readonly [string, string | undefined]
  if (group && (second === undefined || second === '--help' || second === '-h')) {
    return printHelp(surroundings, words)
  }
  const name = group ? `${first} ${second}` : first
  surroundings.complain(`strata: '${name}' is not a strata command.\nSee 'strata${group ? ` ${first}` : ''} --help'.\n`)
  return 1
}

async function printVersion(surroundings: Surroundings): Promise<number> {
  const { packageVersion } = await import('../base/index.ts')
  surroundings.print(`Strata version ${packageVersion()}\n`)
  return 0
}

async function printHelp(surroundings: Surroundings, words: readonly string[]): Promise<number> {
  const { commandHelp, groupHelp, rootHelp } = await import('./help.ts')
  const path = words.slice(0, GROUPS[words[0] ?? ''] === undefined ? 1 : 2).join(' ')
  const entry = COMMANDS.find(entry => entry.path === path)
  const load: LoadCommand | undefined = entry?.load
  if (entry !== undefined && load !== undefined) surroundings.print(commandHelp(path, await load(), entry))
  else if (words[0] !== undefined && GROUPS[words[0]] !== undefined) surroundings.print(groupHelp(words[0]))
  else surroundings.print(rootHelp())
  return 0
}
