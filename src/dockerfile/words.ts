import { StrataError } from '../base/index.ts'
import { withMatchReplaced, withoutMatch } from './globs.ts'

/** Gives the value of a variable, or undefined when it has none. */
export type Lookup = (name: string) => string | undefined

/** What words are resolved with. */
export interface Expansion {
  readonly lookup: Lookup
  /** The file's escape character. */
  readonly escape: string
}

/**
 * Splits text at blanks outside of quotes and resolves quotes, escapes and variables of each word.
 * Dockerfile reference, "Environment replacement".
 *
 * @throws StrataError `invalidArgument` for an open quote or a bad substitution
 */
export function expandWords(text: string, expansion: Expansion): readonly string[] {
  return splitWords(text, expansion.escape).map(word => expandWord(word, expansion))
}

/** Splits text at blanks outside of quotes; quotes and escapes stay as they are. */
export function splitWords(text: string, escape: string): readonly string[] {
  const words: string[] = []
  let word = ''
  let quote = ''
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at]!
    if (char === escape && quote !== "'" && at + 1 < text.length) {
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
export function expandWord(word: string, expansion: Expansion): string {
  return new WordExpansion(word, expansion).run()
}

/** What may follow a name in braces. Dockerfile reference, "Environment replacement". */
const OPERATOR = /^(?:\}|:?[-+?]|##?|%%?|\/\/?)/

/** `${a:-${b:-…}}` */
const MAX_DEPTH = 100

class WordExpansion {
  readonly #text: string
  readonly #lookup: Lookup
  readonly #escape: string
  #at = 0
  #depth = 0

  constructor(text: string, { lookup, escape }: Expansion) {
    this.#text = text
    this.#lookup = lookup
    this.#escape = escape
  }

  run(): string {
    return this.#until('')
  }

  /**
   * Reads up to an unquoted character of `ends`, which is left; without any to the end of the text.
   *
   * @param isPattern what is escaped stays so, for who matches it
   */
  #until(ends: string, isPattern = false): string {
    let result = ''
    while (this.#at < this.#text.length) {
      const char = this.#text[this.#at]!
      if (ends.includes(char)) return result
      if (char === "'") result += this.#singleQuoted()
      else if (char === '"') result += this.#doubleQuoted()
      else if (char === '$') result += this.#variable()
      else if (char === this.#escape && this.#at + 1 < this.#text.length) {
        result += (isPattern ? '\\' : '') + this.#text[this.#at + 1]!
        this.#at += 2
      } else {
        result += char
        this.#at += 1
      }
    }
    if (ends !== '') throw invalid(this.#text, 'a "}" is missing')
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
      else if (char === this.#escape && ['"', '$', this.#escape].includes(this.#text[this.#at + 1] ?? '')) {
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
    const [operator] = OPERATOR.exec(this.#text.slice(this.#at, this.#at + 2)) ?? []
    if (operator === undefined) throw invalid(this.#text, `"\${${name}" goes on with something that is no operator`)
    this.#at += operator.length
    if (operator === '}') return value ?? ''
    this.#depth += 1
    if (this.#depth > MAX_DEPTH) throw invalid(this.#text, `more than ${MAX_DEPTH} variables are in each other`)
    const result = this.#modified({ name, value, operator })
    this.#depth -= 1
    this.#at += 1
    return result
  }

  /** Leaves the closing brace. */
  #modified({ name, value, operator }: { readonly name: string; readonly value: string | undefined; readonly operator: string }): string {
    if (operator.startsWith('/')) {
      const pattern = this.#until('/}', true)
      if (this.#text[this.#at] === '/') this.#at += 1
      return withMatchReplaced(value ?? '', pattern, this.#until('}'), operator === '//')
    }
    const word = this.#until('}', /[#%]/.test(operator))
    if (operator.startsWith('#')) return withoutMatch(value ?? '', word, { end: 'front', longest: operator === '##' })
    if (operator.startsWith('%')) return withoutMatch(value ?? '', word, { end: 'back', longest: operator === '%%' })
    const given = value !== undefined && (value !== '' || !operator.startsWith(':'))
    if (operator.endsWith('-')) return given ? value : word
    if (operator.endsWith('+')) return given ? word : ''
    if (!given) throw invalid(this.#text, word === '' ? `"${name}" has no value` : word)
    return value
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
