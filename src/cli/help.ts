import type { Command } from './command.ts'
import { COMMANDS, GROUPS, type CommandEntry } from './commandTable.ts'
import { GLOBAL_OPTIONS } from './globals.ts'
import type { OptionSpec, OptionTable } from './options.ts'

/** Where help wraps: a terminal of the usual width. */
const COLUMNS = 80

/** The help of `strata` itself. */
export function rootHelp(): string {
  const top = COMMANDS.filter(entry => !entry.path.includes(' ') && !entry.unlisted)
  const common = ['run', 'exec', 'ps', 'pull', 'push', 'images', 'version', 'info']
  const commonEntries = common.flatMap(path => top.find(entry => entry.path === path) ?? [])
  const others = top.filter(entry => !common.includes(entry.path)).sort((a, b) => (a.path < b.path ? -1 : 1))
  return [
    'Usage:  strata [OPTIONS] COMMAND',
    'A container image engine: every command works on the store directly',
    section('Common Commands', commonEntries),
    section(
      'Management Commands',
      Object.entries(GROUPS).map(([path, summary]) => ({ path, summary })),
    ),
    section('Commands', others),
    optionSection('Global Options', GLOBAL_OPTIONS),
    "Run 'strata COMMAND --help' for more information on a command.\n",
  ].join('\n\n')
}

/** The help of a group of verbs, such as `strata image`. */
export function groupHelp(group: string): string {
  const members = COMMANDS.filter(entry => entry.path.startsWith(`${group} `) && !entry.unlisted)
    .map(entry => ({ path: entry.path.slice(group.length + 1), summary: entry.summary }))
    .sort((a, b) => (a.path < b.path ? -1 : 1))
  return [
    `Usage:  strata ${group} COMMAND`,
    GROUPS[group] ?? '',
    section('Commands', members),
    `Run 'strata ${group} COMMAND --help' for more information on a command.\n`,
  ].join('\n\n')
}

/** The help of one verb. @param path as it was typed */
export function commandHelp(path: string, command: Command, entry: CommandEntry): string {
  const names = COMMANDS.filter(other => other.load === entry.load).map(other => `strata ${other.path}`)
  const visible = Object.values(command.options).some(spec => spec.hidden !== true)
  return `${[
    usageLine(path, command),
    entry.summary,
    ...(command.notes === undefined ? [] : [wrap(command.notes, 0)]),
    ...(names.length > 1 ? [`Aliases:\n  ${names.join(', ')}`] : []),
    ...(visible ? [optionSection('Options', command.options)] : []),
  ].join('\n\n')}\n`
}

export function usageLine(path: string, command: Command): string {
  return `Usage:  strata ${path} ${command.usage}`.trimEnd()
}

function section(title: string, entries: readonly { readonly path: string; readonly summary: string }[]): string {
  const width = Math.max(...entries.map(entry => entry.path.length)) + 2
  return `${title}:\n${entries.map(entry => `  ${entry.path.padEnd(width)}${entry.summary}`).join('\n')}`
}

function optionSection(title: string, table: OptionTable): string {
  const rows = Object.entries(table)
    .filter(([, spec]) => spec.hidden !== true)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, spec]) => [optionName(name, spec), spec.help + shownDefault(spec)] as const)
  const width = Math.max(...rows.map(([name]) => name.length)) + 3
  return `${title}:\n${rows.map(([name, help]) => name.padEnd(width) + wrap(help, width)).join('\n')}`
}

function optionName(name: string, spec: OptionSpec<unknown>): string {
  const short = spec.short === undefined ? '      ' : `  -${spec.short}, `
  return `${short}--${name}${spec.value === undefined ? '' : ` ${spec.value}`}`
}

function shownDefault(spec: OptionSpec<unknown>): string {
  return spec.shownDefault === undefined ? '' : ` (default ${spec.shownDefault})`
}

function wrap(text: string, indent: number): string {
  const lines: string[] = []
  for (const paragraph of text.split('\n')) {
    let line = ''
    for (const word of paragraph.split(' ')) {
      if (line !== '' && indent + line.length + 1 + word.length > COLUMNS) {
        lines.push(line)
        line = word
      } else line = line === '' ? word : `${line} ${word}`
    }
    lines.push(line)
  }
  return lines.join(`\n${' '.repeat(indent)}`)
}
