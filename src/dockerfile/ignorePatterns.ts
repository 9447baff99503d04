import { StrataError } from '../base/index.ts'

/** One step of a pattern: what a character must be, or what any number of characters may be. */
type Step =
  | { readonly kind: 'one'; readonly matches: (char: string) => boolean }
  /** `*`: within a name. `**`: anything. `**` and a slash: any folders, or none. */
  | { readonly kind: 'name' | 'anything' | 'folders' }

interface Rule {
  readonly steps: readonly Step[]
  readonly includes: boolean
}

const isNoSlash = (char: string): boolean => char !== '/'

/**
 * What a `.dockerignore` leaves out of a build. Dockerfile documentation, ".dockerignore files": the last line that matches a path or a
 * folder above it decides; a line with `!` puts back what earlier ones took.
 */
export class IgnorePatterns {
  readonly #rules: readonly Rule[]

  /**
   * @param patterns a pattern each, with `!` in front where it puts back
   * @throws StrataError `invalidArgument` (STRATA_IGNORE_PATTERN) for a bad pattern
   */
  constructor(patterns: readonly string[]) {
    this.#rules = patterns.flatMap(ruleOf)
  }

  /** Reads a file's text: a pattern on each line that is not empty and no comment. */
  static parse(text: string): IgnorePatterns {
    const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/)
    return new IgnorePatterns(lines.filter(line => !line.startsWith('#')))
  }

  /** Whether there is anything to leave out. */
  get isEmpty(): boolean {
    return this.#rules.every(({ includes }) => includes)
  }

  /** Whether something may come back out of a folder that is left out: then its content has to be looked at. */
  get hasExceptions(): boolean {
    return this.#rules.some(({ includes }) => includes)
  }

  /** @param path relative, with slashes, without a leading one */
  ignores(path: string): boolean {
    let ignored = false
    // Only a rule that changes the answer needs to be tried.
    for (const { steps, includes } of this.#rules) if (includes === ignored && matches(steps, path)) ignored = !includes
    return ignored
  }
}

function ruleOf(line: string): readonly Rule[] {
  const text = line.trim()
  const includes = text.startsWith('!')
  const pattern = cleaned(includes ? text.slice(1).trim() : text)
  if (includes && pattern === '') throw invalid(line, 'there is no pattern behind the "!"')
  return pattern === '' ? [] : [{ steps: stepsOf(pattern, line), includes }]
}

/** Without `.`, `..`, doubled and outer slashes: a path relative to the root of the context. */
function cleaned(pattern: string): string {
  const names: string[] = []
  for (const name of pattern.split('/')) {
    if (name === '..') names.pop()
    else if (name !== '' && name !== '.') names.push(name)
  }
  return names.join('/')
}

function stepsOf(pattern: string, line: string): readonly Step[] {
  const steps: Step[] = []
  for (let at = 0; at < pattern.length; at += 1) {
    const char = pattern[at]!
    if (char === '*' && pattern[at + 1] === '*') {
      while (pattern[at + 1] === '*') at += 1
      const isFolders = pattern[at + 1] === '/'
      if (isFolders) at += 1
      steps.push({ kind: isFolders ? 'folders' : 'anything' })
    } else if (char === '*') steps.push({ kind: 'name' })
    else if (char === '?') steps.push({ kind: 'one', matches: isNoSlash })
    else if (char === '[') {
      const close = closingBracket(pattern, at, line)
      steps.push({ kind: 'one', matches: classOf(pattern.slice(at + 1, close), line) })
      at = close
    } else {
      if (char === '\\' && at + 1 === pattern.length) throw invalid(line, 'nothing follows the last backslash')
      const literal = char === '\\' ? pattern[(at += 1)]! : char
      steps.push({ kind: 'one', matches: each => each === literal })
    }
  }
  return steps
}

function closingBracket(pattern: string, open: number, line: string): number {
  for (let at = open + 1; at < pattern.length; at += 1) {
    if (pattern[at] === '\\') at += 1
    else if (pattern[at] === ']' && at > open + 1) return at
  }
  throw invalid(line, 'a "[" is not closed')
}

/** `a-z_`, and all others where it begins with `^`. */
function classOf(text: string, line: string): (char: string) => boolean {
  const isNegated = text.startsWith('^')
  const ranges: (readonly [string, string])[] = []
  let at = isNegated ? 1 : 0
  const next = (): string => {
    if (text[at] === '\\') at += 1
    const char = text[at]
    at += 1
    if (char === undefined) throw invalid(line, 'a range has no end')
    return char
  }
  while (at < text.length) {
    const from = next()
    if (text[at] !== '-') {
      ranges.push([from, from])
      continue
    }
    at += 1
    ranges.push([from, next()])
  }
  if (ranges.length === 0) throw invalid(line, 'a "[" has nothing in it')
  return char => char !== '/' && ranges.some(([from, to]) => from <= char && char <= to) !== isNegated
}

/** Whether a pattern matches a path or a folder above it: all ways through the pattern at once, a character at a time. */
function matches(steps: readonly Step[], path: string): boolean {
  let states: number[] = []
  enter(steps, states, 0)
  for (const char of path) {
    // A folder above is matched.
    if (char === '/' && states.includes(steps.length)) return true
    const next: number[] = []
    for (const state of states) {
      const step = steps[state]
      if (step === undefined) continue
      if (step.kind === 'one') {
        if (step.matches(char)) enter(steps, next, state + 1)
      } else if (step.kind === 'folders') {
        // Folders are whole: what follows them begins behind a slash.
        add(next, state)
        if (char === '/') enter(steps, next, state + 1)
      } else if (step.kind === 'anything' || char !== '/') enter(steps, next, state)
    }
    if (next.length === 0) return false
    states = next
  }
  return states.includes(steps.length)
}

/** Comes to a step, and to those behind it that can be reached without a character. */
function enter(steps: readonly Step[], states: number[], state: number): void {
  add(states, state)
  const step = steps[state]
  if (step !== undefined && step.kind !== 'one') enter(steps, states, state + 1)
}

function add(states: number[], state: number): void {
  if (!states.includes(state)) states.push(state)
}

function invalid(line: string, state: string): StrataError {
  return new StrataError('invalidArgument', 'STRATA_IGNORE_PATTERN', `Cannot read the pattern "${line.trim()}": ${state}`)
}
