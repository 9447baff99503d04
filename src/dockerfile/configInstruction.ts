import { StrataError } from '../base/index.ts'
import { expandWord, expandWords, type Lookup, splitWords } from './words.ts'

/** A command as the exec form (a JSON list) or the shell form (everything else) has it. */
export interface CommandLine {
  readonly form: 'exec' | 'shell'
  /** The list, or one text for the shell. */
  readonly words: readonly string[]
}

export interface HealthcheckOptions {
  readonly intervalNs?: number
  readonly timeoutNs?: number
  readonly startPeriodNs?: number
  readonly startIntervalNs?: number
  readonly retries?: number
}

/** The instructions that change only an image's config, with their words expanded. Dockerfile reference. */
export type ConfigInstruction =
  | { readonly name: 'CMD' | 'ENTRYPOINT'; readonly command: CommandLine }
  | { readonly name: 'ENV' | 'LABEL'; readonly pairs: readonly (readonly [string, string])[] }
  | { readonly name: 'EXPOSE'; readonly ports: readonly string[] }
  | { readonly name: 'HEALTHCHECK'; readonly command: CommandLine | undefined; readonly options: HealthcheckOptions }
  | { readonly name: 'ONBUILD'; readonly trigger: string }
  | { readonly name: 'STOPSIGNAL'; readonly signal: string }
  | { readonly name: 'USER'; readonly user: string }
  | { readonly name: 'VOLUME'; readonly paths: readonly string[] }
  | { readonly name: 'WORKDIR'; readonly path: string }

type Parse = (rest: string, lookup: Lookup) => ConfigInstruction

const INSTRUCTIONS: Readonly<Record<string, Parse>> = {
  CMD: rest => ({ name: 'CMD', command: parseCommand(rest) }),
  ENTRYPOINT: rest => ({ name: 'ENTRYPOINT', command: parseCommand(rest) }),
  ENV: (rest, lookup) => ({ name: 'ENV', pairs: parsePairs('ENV', rest, lookup) }),
  LABEL: (rest, lookup) => ({ name: 'LABEL', pairs: parsePairs('LABEL', rest, lookup) }),
  EXPOSE: (rest, lookup) => ({ name: 'EXPOSE', ports: expandWords(rest, lookup).flatMap(parsePorts) }),
  HEALTHCHECK: parseHealthcheck,
  ONBUILD: rest => ({ name: 'ONBUILD', trigger: parseTrigger(rest) }),
  STOPSIGNAL: (rest, lookup) => ({ name: 'STOPSIGNAL', signal: expandWord(rest, lookup) }),
  USER: (rest, lookup) => ({ name: 'USER', user: expandWord(rest, lookup) }),
  VOLUME: (rest, lookup) => ({ name: 'VOLUME', paths: parseList(rest) ?? expandWords(rest, lookup) }),
  WORKDIR: (rest, lookup) => ({ name: 'WORKDIR', path: expandWord(rest, lookup) }),
}

/**
 * Reads one instruction that changes an image's config, as `commit --change` and `import --change` take it.
 *
 * @param lookup the variables that words may name: the image's environment
 * @throws StrataError `invalidArgument` (STRATA_DOCKERFILE_INSTRUCTION)
 */
export function parseConfigInstruction(line: string, lookup: Lookup): ConfigInstruction {
  const [, name = '', rest = ''] = /^\s*(\S+)\s*([\s\S]*?)\s*$/.exec(line) ?? []
  const parse = INSTRUCTIONS[name.toUpperCase()]
  if (parse === undefined) {
    throw invalid(line, `"${name}" is not one of ${Object.keys(INSTRUCTIONS).join(', ')}`)
  }
  if (rest === '') throw invalid(line, `${name.toUpperCase()} needs an argument`)
  return parse(rest, lookup)
}

function parseCommand(rest: string): CommandLine {
  const words = parseList(rest)
  return words === undefined ? { form: 'shell', words: [rest] } : { form: 'exec', words }
}

/** A JSON list of strings; undefined for everything else, which is then taken as a shell does. */
function parseList(text: string): readonly string[] | undefined {
  if (!text.startsWith('[')) return undefined
  try {
    const list: unknown = JSON.parse(text)
    return Array.isArray(list) && list.every(each => typeof each === 'string') ? list : undefined
  } catch {
    return undefined
  }
}

/** `a=b c="d e"`, or the old form `a b c` with one name and the rest as its value. */
function parsePairs(name: string, rest: string, lookup: Lookup): readonly (readonly [string, string])[] {
  const words = splitWords(rest)
  if (!words[0]!.includes('=')) {
    const [, key = '', value = ''] = /^(\S+)\s+([\s\S]+)$/.exec(rest) ?? []
    if (key === '') throw invalid(`${name} ${rest}`, 'a name has no value')
    return [[expandWord(key, lookup), expandWord(value, lookup)]]
  }
  return words.map(word => {
    const equals = word.indexOf('=')
    if (equals <= 0) throw invalid(`${name} ${rest}`, `"${word}" is not name=value`)
    return [expandWord(word.slice(0, equals), lookup), expandWord(word.slice(equals + 1), lookup)] as const
  })
}

/** `80`, `80/udp`, `8000-8002/tcp` → each port with its protocol. */
function parsePorts(word: string): readonly string[] {
  const [, first = '', last = first, protocol = 'tcp'] = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/i.exec(word) ?? []
  const from = Number(first)
  const to = Number(last)
  if (first === '' || from < 1 || to > 65535 || from > to)
    throw invalid(`EXPOSE ${word}`, `"${word}" is no port, range of ports or port/protocol`)
  return Array.from({ length: to - from + 1 }, (_, index) => `${from + index}/${protocol.toLowerCase()}`)
}

/** What may not be triggered: an image that would trigger again, and what only the start of a stage has. */
const NO_TRIGGER: ReadonlySet<string> = new Set(['ONBUILD', 'FROM', 'MAINTAINER'])

function parseTrigger(rest: string): string {
  const [, name = '', text = ''] = /^(\S+)([\s\S]*)$/.exec(rest) ?? []
  if (NO_TRIGGER.has(name.toUpperCase())) throw invalid(`ONBUILD ${rest}`, `${name.toUpperCase()} is not allowed as a trigger`)
  return name.toUpperCase() + text
}

function parseHealthcheck(rest: string): ConfigInstruction {
  const options: Record<string, number> = {}
  let text = rest
  for (let flag = /^--([a-z-]+)=(\S+)\s*/.exec(text); flag !== null; flag = /^--([a-z-]+)=(\S+)\s*/.exec(text)) {
    const [whole, name = '', value = ''] = flag
    if (name === 'retries') options['retries'] = parseRetries(rest, value)
    else {
      const field = HEALTHCHECK_DURATIONS[name]
      if (field === undefined) throw invalid(`HEALTHCHECK ${rest}`, `there is no option --${name}`)
      options[field] = parseDuration(rest, value)
    }
    text = text.slice(whole.length)
  }
  const [, kind = '', command = ''] = /^(\S+)\s*([\s\S]*)$/.exec(text) ?? []
  if (kind.toUpperCase() === 'NONE' && command === '') return { name: 'HEALTHCHECK', command: undefined, options: {} }
  if (kind.toUpperCase() !== 'CMD' || command === '') throw invalid(`HEALTHCHECK ${rest}`, 'it is neither NONE nor CMD with a command')
  return { name: 'HEALTHCHECK', command: parseCommand(command), options }
}

const HEALTHCHECK_DURATIONS: Readonly<Record<string, keyof HealthcheckOptions>> = {
  interval: 'intervalNs',
  timeout: 'timeoutNs',
  'start-period': 'startPeriodNs',
  'start-interval': 'startIntervalNs',
}

function parseRetries(rest: string, value: string): number {
  const retries = Number(value)
  if (!Number.isSafeInteger(retries) || retries < 0) throw invalid(`HEALTHCHECK ${rest}`, `"${value}" is no number of retries`)
  return retries
}

const UNIT_NS: Readonly<Record<string, number>> = { ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 }

/** A duration as Go writes it (`1m30s`), in nanoseconds. */
function parseDuration(rest: string, value: string): number {
  if (!/^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+$/.test(value))
    throw invalid(`HEALTHCHECK ${rest}`, `"${value}" is no duration such as 1m30s`)
  let total = 0
  for (const [, amount = '', unit = ''] of value.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)) total += Number(amount) * UNIT_NS[unit]!
  return total
}

function invalid(line: string, state: string): StrataError {
  return new StrataError('invalidArgument', 'STRATA_DOCKERFILE_INSTRUCTION', `Cannot read instruction "${line.trim()}": ${state}`)
}
