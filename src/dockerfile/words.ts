import { StrataError } from '../base/index.ts'

/** Gives the value of a variable, or undefined when it has none. */
export type Lookup = (name: string) => string | undefined

const ESCAPE = '\\'

/**
 * Splits text at blanks outside of quotes and resolves quotes, escapes and variables of each word.
 * Dockerfile reference, "Environment replacement".
 *
 * @throws StrataError `invalidArgument` for an open quote or a bad substitution
 */
export function expandWords(text: string, lookup: Lookup): readonly string[] {
  return splitWords(text).map(word => expandWord(word, lookup))
}

/** Splits text at blanks outside of quotes; quotes and escapes stay as they are. */
export function splitWords(text: string): readonly string[] {
  const words: string[] = []
  let word = ''
  let quote = ''
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at]!
    if (char === ESCAPE && quote !== "'" && at + 1 < text.length) {
      word += char + text[at + 1]!
      at += 1
    } else if (quote === '' && /\s/.test(char)) {
      if (word !== '') words.push(word)
      word = ''
    } else {
      if (quote === '' && (char === '"' || char === "'")) quote = char
      else if (char === quote) quote = ''
      word += char
    }
  }
  if (quote !== '') throw invalid(text, `a ${quote} is not closed`)
  if (word !== '') words.push(word)
  return words
}

/** Resolves quotes, escapes and variables of one word. */
export function expandWord(word: string, lookup: Lookup): string {
  return new WordExpansion(word, lookup).run()
}

class WordExpansion {
  readonly #text: string
  readonly #lookup: Lookup
  #at = 0

  constructor(text: string, lookup: Lookup) {
    this.#text = text
    this.#lookup = lookup
  }

  run(): string {
    const result = this.#until(undefined)
    return result
  }

  /** Reads up to an unquoted `end`, which is consumed, or to the end of the text. */
  #until(end: string | undefined): string {
    let result = ''
    while (this.#at < this.#text.length) {
      const char = this.#text[this.#at]!
      if (char === end) {
        this.#at += 1
        return result
      }
      if (char === "'") result += this.#singleQuoted()
      else if (char === '"') result += this.#doubleQuoted()
      else if (char === '$') result += this.#variable()
      else if (char === ESCAPE && this.#at + 1 < this.#text.length) {
        result += this.#text[this.#at + 1]!
        this.#at += 2
      } else {
        result += char
        this.#at += 1
      }
    }
    if (end !== undefined) throw invalid(this.#text, `a "${end}" is missing`)
    return result
  }

  #singleQuoted(): string {
    const close = this.#text.indexOf("'", this.#at + 1)
    if (close < 0) throw invalid(this.#text, "a ' is not closed")
    const content = this.#text.slice(this.#at + 1, close)
    this.#at = close + 1
    return content
  }

  #doubleQuoted(): string {
    let result = ''
    this.#at += 1
    while (this.#at < this.#text.length) {
      const char = this.#text[this.#at]!
      if (char === '"') {
        this.#at += 1
        return result
      }
      if (char === '$') result += this.#variable()
      else if (char === ESCAPE && /["$\\]/.test(this.#text[this.#at + 1] ?? '')) {
        result += this.#text[this.#at + 1]!
        this.#at += 2
      } else {
        result += char
        this.#at += 1
      }
    }
    throw invalid(this.#text, 'a " is not closed')
  }

  #variable(): string {
    this.#at += 1
    if (this.#text[this.#at] === '{') return this.#bracedVariable()
    const name = this.#name()
    return name === '' ? '$' : (this.#lookup(name) ?? '')
  }

  #bracedVariable(): string {
    this.#at += 1
    const name = this.#name()
    if (name === '') throw invalid(this.#text, 'a variable name is missing')
    const value = this.#lookup(name)
    const [operator = ''] = /^:?[-+?]|^\}/.exec(this.#text.slice(this.#at)) ?? []
    this.#at += operator.length
    if (operator === '}') return value ?? ''
    if (operator === '') throw invalid(this.#text, `"\${${name}" goes on with something else than }, :-, :+ or :?`)
    const word = this.#until('}')
    const given = operator.startsWith(':') ? value !== undefined && value !== '' : value !== undefined
    if (operator.endsWith('-')) return given ? value! : word
    if (operator.endsWith('+')) return given ? word : ''
    if (!given) throw invalid(this.#text, word === '' ? `"${name}" has no value` : word)
    return value!
  }

  #name(): string {
    const [name = ''] = /^(?:[A-Za-z_][A-Za-z0-9_]*|[0-9])/.exec(this.#text.slice(this.#at)) ?? []
    this.#at += name.length
    return name
  }
}

function invalid(text: string, state: string): StrataError {
  return new StrataError('invalidArgument', 'STRATA_DOCKERFILE_WORD', `Cannot read "${text}": ${state}`)
}
