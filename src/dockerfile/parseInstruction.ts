import { type Arguments, Flags, type Word, wordsOf } from './arguments.ts'
import { parseHealthcheck } from './healthcheck.ts'
import type { CommandLine, CopyInstruction, CopySource, Instruction, Pair } from './instruction.ts'
import { parseRunMount } from './runMount.ts'
import { splitWords } from './words.ts'

type Parse = (given: Arguments) => Instruction

/** Dockerfile reference. */
const PARSERS: Readonly<Record<Instruction['name'], Parse>> = {
  FROM: parseFrom,
  ARG: given => ({ name: 'ARG', pairs: words(given).map(word => argument(given, word)) }),
  ENV: given => ({ name: 'ENV', pairs: pairs(given) }),
  LABEL: given => ({ name: 'LABEL', pairs: pairs(given) }),
  RUN: parseRun,
  COPY: parseCopy,
  ADD: parseAdd,
  CMD: given => ({ name: 'CMD', command: command(given.text) }),
  ENTRYPOINT: given => ({ name: 'ENTRYPOINT', command: command(given.text) }),
  SHELL: parseShell,
  EXPOSE: given => ({ name: 'EXPOSE', ports: wordsOf(given.text).map(({ text }) => text) }),
  VOLUME: parseVolume,
  USER: given => ({ name: 'USER', user: given.text }),
  WORKDIR: given => ({ name: 'WORKDIR', path: given.text }),
  STOPSIGNAL: given => ({ name: 'STOPSIGNAL', signal: given.text }),
  HEALTHCHECK: given => parseHealthcheck(given, command),
  MAINTAINER: given => ({ name: 'MAINTAINER', maintainer: given.text }),
  ONBUILD: parseTrigger,
}

export const INSTRUCTION_NAMES: readonly Instruction['name'][] = Object.keys(PARSERS) as Instruction['name'][]

/** Those that have flags of their own: the others take what looks like one as an argument, or refuse it. */
export const WITH_FLAGS: ReadonlySet<string> = new Set(['FROM', 'RUN', 'COPY', 'ADD', 'HEALTHCHECK'])

/**
 * Reads what an instruction says; words stay as they are written.
 *
 * @throws what `given.problem` makes
 */
export function parseInstruction(name: Instruction['name'], given: Arguments): Instruction {
  if (given.text === '' && given.flags.length === 0) throw given.problem(`${name} needs an argument`)
  return PARSERS[name](given)
}

function parseFrom(given: Arguments): Instruction {
  const flags = new Flags(given)
  const platform = flags.text('platform')
  flags.end('FROM')
  const [image, as, alias, more] = wordsOf(given.text)
  if (image === undefined) throw given.problem('FROM needs an image, or scratch')
  const common = { name: 'FROM', image: image.text, ...(platform === undefined ? {} : { platform }) } as const
  if (as === undefined) return common
  if (as.text.toUpperCase() !== 'AS' || alias === undefined || more !== undefined)
    throw given.problem('FROM has one image, or an image, AS and a name', as.offset)
  const lower = alias.text.toLowerCase()
  if (!/^[a-z][a-z0-9_.-]*$/.test(lower))
    throw given.problem(`"${alias.text}" is no name of a stage: a letter, then letters, digits, "_", "." and "-"`, alias.offset)
  return { ...common, alias: lower }
}

function argument(given: Arguments, word: string): readonly [string, string | undefined] {
  const equals = word.indexOf('=')
  const name = equals < 0 ? word : word.slice(0, equals)
  if (!/^[A-Za-z_]\w*$/.test(name)) throw given.problem(`"${name}" is no name of a variable`, Math.max(0, given.text.indexOf(word)))
  return [name, equals < 0 ? undefined : word.slice(equals + 1)]
}

/** `a=b c="d e"`, or the old form `a b c` with one name and the rest as its value. */
function pairs(given: Arguments): readonly Pair[] {
  const [first = '', ...others] = words(given)
  if (!first.includes('=')) {
    const [, name = '', value = ''] = /^(\S+)\s+([\s\S]+)$/.exec(given.text) ?? []
    if (name === '') throw given.problem(`"${first}" has no value`)
    return [[name, value]]
  }
  return [first, ...others].map(word => {
    const equals = word.indexOf('=')
    if (equals <= 0) throw given.problem(`"${word}" is not name=value`, Math.max(0, given.text.indexOf(word)))
    return [word.slice(0, equals), word.slice(equals + 1)]
  })
}

function words(given: Arguments): readonly string[] {
  return splitWords(given.text, given.escape)
}

function command(text: string): CommandLine {
  const list = jsonList(text)
  return list === undefined ? { form: 'shell', words: [text] } : { form: 'exec', words: list }
}

/** A JSON list of strings; undefined for everything else, which is then taken as a shell does. */
function jsonList(text: string): readonly string[] | undefined {
  if (!text.startsWith('[')) return undefined
  try {
    const list: unknown = JSON.parse(text)
    return Array.isArray(list) && list.every(each => typeof each === 'string') ? list : undefined
  } catch {
    return undefined
  }
}

function parseRun(given: Arguments): Instruction {
  const flags = new Flags(given)
  const mounts = flags.texts('mount').map(value => parseRunMount(given, value))
  const network = flags.choice('network', ['default', 'none', 'host']) ?? 'default'
  const security = flags.choice('security', ['sandbox', 'insecure']) ?? 'sandbox'
  flags.end('RUN')
  if (given.text === '') throw given.problem('RUN needs a command')
  return { name: 'RUN', command: command(given.text), heredocs: given.heredocs, mounts, network, security }
}

function parseCopy(given: Arguments): Instruction {
  const flags = new Flags(given)
  const from = flags.text('from')
  const parents = flags.switch('parents') ?? false
  const copying = parseCopying(given, flags, 'COPY')
  const fromElsewhere = from !== undefined && copying.sources.some(source => 'heredoc' in source)
  if (fromElsewhere) throw given.problem('a here-document does not come from elsewhere: it stands here')
  return { name: 'COPY', ...copying, parents, ...(from === undefined ? {} : { from }) }
}

function parseAdd(given: Arguments): Instruction {
  const flags = new Flags(given)
  const checksum = flags.text('checksum')
  const keepGitDirectory = flags.switch('keep-git-dir') ?? false
  const unpack = flags.switch('unpack')
  const copying = parseCopying(given, flags, 'ADD')
  return {
    name: 'ADD',
    ...copying,
    keepGitDirectory,
    ...(checksum === undefined ? {} : { checksum }),
    ...(unpack === undefined ? {} : { unpack }),
  }
}

type Copying = Omit<CopyInstruction, 'name' | 'from' | 'parents'>

/** Sources and the destination, as a JSON list or as words; blanks in a path need the list. */
function parseCopying(given: Arguments, flags: Flags, name: 'COPY' | 'ADD'): Copying {
  const [chown, chmod] = [flags.text('chown'), flags.text('chmod')]
  const link = flags.switch('link') ?? false
  const exclude = flags.texts('exclude')
  flags.end(name)
  const list = jsonList(given.text)?.map((text): Word => ({ text, offset: 0 })) ?? wordsOf(given.text)
  const destination = list.at(-1)
  if (destination === undefined || list.length < 2) throw given.problem(`${name} needs a source and a destination`)
  const heredocs = [...given.heredocs]
  const sources = list.slice(0, -1).map(({ text }): CopySource => {
    const heredoc = /^<<-?["']?[^"'<]+["']?$/.test(text) ? heredocs.shift() : undefined
    return heredoc === undefined ? { path: text } : { heredoc }
  })
  if (heredocs.length > 0) throw given.problem('a here-document cannot be the destination', destination.offset)
  return {
    sources,
    destination: destination.text,
    link,
    exclude,
    ...(chown === undefined ? {} : { chown }),
    ...(chmod === undefined ? {} : { chmod }),
  }
}

function parseShell(given: Arguments): Instruction {
  const list = jsonList(given.text)
  if (list === undefined || list.length === 0) throw given.problem('SHELL needs a JSON list, such as ["/bin/bash", "-c"]')
  return { name: 'SHELL', words: list }
}

function parseVolume(given: Arguments): Instruction {
  const paths = jsonList(given.text) ?? wordsOf(given.text).map(({ text }) => text)
  if (paths.length === 0 || paths.some(path => path.trim() === '')) throw given.problem('a path of a volume is empty')
  return { name: 'VOLUME', paths }
}

/** What may not be triggered: a trigger, and what only the start of a stage has. */
const NO_TRIGGER: ReadonlySet<string> = new Set(['ONBUILD', 'FROM', 'MAINTAINER'])

function parseTrigger(given: Arguments): Instruction {
  const [, name = '', text = ''] = /^(\S+)([\s\S]*)$/.exec(given.text) ?? []
  const upper = name.toUpperCase()
  if (NO_TRIGGER.has(upper)) throw given.problem(`${upper} is not allowed as a trigger`)
  if (!(upper in PARSERS)) throw given.problem(`"${name}" is no instruction`)
  // What stands below the line goes with it.
  const below = given.heredocs.map(({ name: end, content }) => `\n${content}${end}`).join('')
  return { name: 'ONBUILD', trigger: upper + text + below }
}
