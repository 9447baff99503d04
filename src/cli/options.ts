import { parseDuration } from './durations.ts'
import { parseBytes } from './sizes.ts'

/**
 * One flag of a command, as docker has it. `read` takes what was typed and what the flag was before
 * (flags may be repeated), and throws an Error that says what is wrong with the text.
 */
export interface OptionSpec<T> {
  /** One letter. */
  readonly short?: string
  /** What help calls the value; undefined for a flag, which is on or off. */
  readonly value: string | undefined
  readonly help: string
  readonly initial: T
  /** Text for help when the default is worth telling. */
  readonly shownDefault?: string
  /** Accepted for habits and scripts, and not shown. */
  readonly hidden?: boolean
  read(text: string, before: T): T
}

export type OptionTable = Readonly<Record<string, OptionSpec<unknown>>>

export type OptionValues<O extends OptionTable> = { readonly [K in keyof O]: O[K] extends OptionSpec<infer T> ? T : never }

interface Details<T> {
  readonly short?: string
  readonly value?: string
  readonly initial?: T
  readonly shownDefault?: string
  readonly hidden?: boolean
}

const TRUTHS: Readonly<Record<string, boolean>> = Object.fromEntries([
  ...['1', 't', 'T', 'TRUE', 'true', 'True'].map(text => [text, true] as const),
  ...['0', 'f', 'F', 'FALSE', 'false', 'False'].map(text => [text, false] as const),
])

/** On or off; `--x`, `--x=false`. */
export function flag(help: string, details: Details<boolean> = {}): OptionSpec<boolean> {
  return {
    initial: false,
    ...(details.initial === true ? { shownDefault: 'true' } : {}),
    ...details,
    help,
    value: undefined,
    read(text) {
      const truth = TRUTHS[text]
      if (truth === undefined) throw new Error('expected true or false')
      return truth
    },
  }
}

/** As `flag`, and undefined when it was not given. */
export function optionalFlag(help: string, details: Details<boolean> = {}): OptionSpec<boolean | undefined> {
  return { ...(flag(help, details) as OptionSpec<boolean | undefined>), initial: undefined }
}

function valueOption<T>(help: string, details: Details<T> & { value: string; initial: T }, read: (text: string) => T): OptionSpec<T> {
  return { ...details, help, read }
}

export function text(help: string, details: Details<string> = {}): OptionSpec<string | undefined> {
  return valueOption<string | undefined>(help, { value: 'string', initial: undefined, ...details }, typed => typed)
}

/** Given once at most: of two, neither is meant more. */
export function single(help: string, details: Details<string> = {}): OptionSpec<string | undefined> {
  return {
    ...text(help, details),
    read(typed, before) {
      if (before !== undefined) throw new Error('it was given already, and only one is taken')
      return typed
    },
  }
}

/** Repeated as often as wanted. */
export function list(help: string, details: Details<never> = {}): OptionSpec<readonly string[]> {
  return { value: 'list', ...details, initial: [], help, read: (typed, before) => [...before, typed] }
}

export function integer(help: string, details: Details<number> = {}): OptionSpec<number | undefined> {
  return valueOption<number | undefined>(help, { value: 'int', initial: undefined, ...details }, typed => {
    if (!/^[+-]?\d+$/.test(typed)) throw new Error('expected a whole number')
    return Number(typed)
  })
}

export function decimal(help: string, details: Details<number> = {}): OptionSpec<number | undefined> {
  return valueOption<number | undefined>(help, { value: 'decimal', initial: undefined, ...details }, typed => {
    if (!/^\d*\.?\d+$/.test(typed)) throw new Error('expected a number such as 1.5')
    return Number(typed)
  })
}

/** `512m`, `1g`, `4096`. */
export function bytes(help: string, details: Details<number> = {}): OptionSpec<number | undefined> {
  return valueOption<number | undefined>(help, { value: 'bytes', initial: undefined, ...details }, parseBytes)
}

/** Bytes per second as curl has them: `500k`, `2M`, `1G`, in powers of 1024; 0 is without a limit. curl(1) --limit-rate */
export function rate(help: string): OptionSpec<number | undefined> {
  return valueOption<number | undefined>(help, { value: 'rate', initial: undefined }, typed => {
    if (!/^\d+(?:\.\d+)?[kmgtp]?b?$/i.test(typed)) throw new Error('expected bytes per second such as 500k, 2M or 1G')
    const bytesPerSecond = parseBytes(typed)
    return bytesPerSecond === 0 ? undefined : bytesPerSecond
  })
}

/** `30s`, `1m30s`; the value is in milliseconds. */
export function duration(help: string, details: Details<number> = {}): OptionSpec<number | undefined> {
  return valueOption<number | undefined>(help, { value: 'duration', initial: undefined, ...details }, parseDuration)
}

/** One of a few words. */
export function oneOf<W extends string>(words: readonly W[], help: string, details: Details<W> = {}): OptionSpec<W | undefined> {
  return valueOption<W | undefined>(help, { value: 'string', initial: undefined, ...details }, typed => {
    const word = words.find(word => word === typed)
    if (word === undefined) throw new Error(`expected ${words.map(word => `"${word}"`).join(', ')}`)
    return word
  })
}
