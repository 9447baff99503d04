import { type Branch, type Node, type Operand, type Pipeline, TemplateError } from './ast.ts'
import { readTokens, type Token } from './tokens.ts'

/** How deep actions and parentheses may nest; people's templates nest three or four deep. */
const DEPTH_LIMIT = 200

/**
 * Reads a template.
 *
 * @param functions the names that may be called
 * Throws a TemplateError whose message is in the form of Go's.
 */
export function parseTemplate(source: string, functions: ReadonlySet<string>): readonly Node[] {
  return new TemplateParser(readTokens(source), functions).whole()
}

class TemplateParser {
  readonly #tokens: readonly Token[]
  readonly #functions: ReadonlySet<string>
  #at = 0
  #depth = 0
  #ranges = 0
  /** Variables in scope, innermost last; a block drops those it declared. */
  readonly #variables: string[] = ['$']

  constructor(tokens: readonly Token[], functions: ReadonlySet<string>) {
    this.#tokens = tokens
    this.#functions = functions
  }

  whole(): readonly Node[] {
    const { nodes, stop } = this.#list()
    if (stop !== undefined) throw this.#wrong(`unexpected {{${stop}}}`)
    return nodes
  }

  /** Nodes up to `{{end}}`, `{{else}}` or the end of the template. */
  #list(): { readonly nodes: readonly Node[]; readonly stop: 'end' | 'else' | undefined } {
    this.#enter()
    const nodes: Node[] = []
    for (;;) {
      const token = this.#next()
      if (token.kind === 'end') return this.#leave({ nodes, stop: undefined })
      if (token.kind === 'text') {
        nodes.push({ kind: 'text', text: token.text })
        continue
      }
      this.#skipSpace()
      const word = this.#peek()
      const keyword = word.kind === 'word' ? word.text : ''
      if (keyword === 'end' || keyword === 'else') {
        this.#next()
        if (keyword === 'end') this.#close('end')
        return this.#leave({ nodes, stop: keyword })
      }
      nodes.push(this.#action(keyword))
    }
  }

  #action(keyword: string): Node {
    switch (keyword) {
      case 'if':
      case 'with':
        this.#next()
        return this.#conditional(keyword)
      case 'range':
        this.#next()
        return this.#range()
      case 'break':
      case 'continue':
        this.#next()
        if (this.#ranges === 0) throw this.#wrong(`{{${keyword}}} outside {{range}}`)
        this.#close(keyword)
        return { kind: keyword }
      case 'define':
      case 'template':
      case 'block':
        throw this.#wrong(`{{${keyword}}} is not supported in formats`)
      default: {
        const pipeline = this.#pipeline('command')
        this.#close('command')
        return { kind: 'output', pipeline }
      }
    }
  }

  #conditional(kind: 'if' | 'with'): Node {
    const scope = this.#variables.length
    const branches: Branch[] = []
    let otherwise: readonly Node[] = []
    for (;;) {
      const pipeline = this.#pipeline(kind)
      this.#close(kind)
      const { nodes, stop } = this.#list()
      branches.push({ pipeline, body: nodes })
      if (stop === undefined) throw this.#wrong('unexpected EOF')
      if (stop === 'end') break
      if (this.#elseContinues(kind)) continue
      otherwise = this.#otherwise()
      break
    }
    this.#variables.length = scope
    return { kind, branches, otherwise }
  }

  /** After `{{else`: true for `{{else if …}}`, whose pipeline comes next. */
  #elseContinues(kind: string): boolean {
    this.#skipSpace()
    const token = this.#peek()
    if (token.kind !== 'word' || token.text !== kind) {
      this.#close('else')
      return false
    }
    this.#next()
    return true
  }

  #otherwise(): readonly Node[] {
    const { nodes, stop } = this.#list()
    if (stop === undefined) throw this.#wrong('unexpected EOF')
    if (stop === 'else') throw this.#wrong('expected end; found {{else}}')
    return nodes
  }

  #range(): Node {
    const scope = this.#variables.length
    const pipeline = this.#pipeline('range')
    this.#close('range')
    this.#ranges += 1
    const { nodes, stop } = this.#list()
    this.#ranges -= 1
    if (stop === undefined) throw this.#wrong('unexpected EOF')
    let otherwise: readonly Node[] = []
    if (stop === 'else') {
      this.#close('else')
      otherwise = this.#otherwise()
    }
    this.#variables.length = scope
    return { kind: 'range', pipeline, body: nodes, otherwise }
  }

  #pipeline(context: string): Pipeline {
    this.#enter()
    const { variables, assigns } = this.#declaration(context)
    const commands: (readonly [Operand, ...Operand[]])[] = []
    do {
      this.#skipSpace()
      commands.push(this.#command(context))
      this.#skipSpace()
    } while (this.#takeSymbol('|'))
    if (!assigns) this.#variables.push(...variables)
    return this.#leave({ variables, assigns, commands })
  }

  #declaration(context: string): { readonly variables: readonly string[]; readonly assigns: boolean } {
    const start = this.#at
    const variables: string[] = []
    do {
      this.#skipSpace()
      const token = this.#next()
      if (token.kind !== 'variable') break
      variables.push(token.text)
      this.#skipSpace()
      const sign = this.#takeSymbol(':=') ? ':=' : this.#takeSymbol('=') ? '=' : undefined
      if (sign !== undefined) {
        if (variables.length > 2 || (variables.length === 2 && context !== 'range'))
          throw this.#wrong(`too many declarations in ${context}`)
        if (sign === '=') for (const name of variables) this.#known(name)
        return { variables, assigns: sign === '=' }
      }
    } while (this.#takeSymbol(','))
    this.#at = start
    return { variables: [], assigns: false }
  }

  #command(context: string): readonly [Operand, ...Operand[]] {
    const operands: Operand[] = []
    for (;;) {
      const operand = this.#operand()
      if (operand === undefined) break
      operands.push(operand)
      if (this.#peek().kind !== 'space') break
      this.#skipSpace()
    }
    const [first, ...rest] = operands
    if (first === undefined) {
      const token = this.#peek()
      if (token.kind === 'close') throw this.#wrong(`missing value for ${context}`)
      throw this.#wrong(`unexpected ${describe(token)} in operand`)
    }
    return [first, ...rest]
  }

  #operand(): Operand | undefined {
    const token = this.#peek()
    const { at } = token
    switch (token.kind) {
      case 'literal':
        this.#next()
        return { kind: 'literal', value: token.value, at }
      case 'variable':
        this.#next()
        this.#known(token.text)
        return { kind: 'variable', name: token.text, path: this.#path(), at }
      case 'field':
        return { kind: 'field', path: this.#path(), at }
      case 'word':
        this.#next()
        if (token.text === 'true' || token.text === 'false') return { kind: 'literal', value: token.text === 'true', at }
        if (token.text === 'nil') return { kind: 'nil', at }
        if (!this.#functions.has(token.text)) throw this.#wrong(`function "${token.text}" not defined`)
        return { kind: 'function', name: token.text, at }
      case 'symbol':
        if (token.text === '.') {
          this.#next()
          return { kind: 'dot', at }
        }
        if (token.text !== '(') return undefined
        this.#next()
        return this.#group(at)
      default:
        return undefined
    }
  }

  #group(at: Token['at']): Operand {
    const pipeline = this.#pipeline('parenthesized pipeline')
    if (!this.#takeSymbol(')')) throw this.#wrong('unclosed left paren')
    return { kind: 'group', pipeline, path: this.#path(), at }
  }

  #path(): readonly string[] {
    const path: string[] = []
    for (let token = this.#peek(); token.kind === 'field'; token = this.#peek()) {
      path.push(token.text)
      this.#next()
    }
    return path
  }

  #known(name: string): void {
    if (!this.#variables.includes(name)) throw this.#wrong(`undefined variable "${name}"`)
  }

  #takeSymbol(text: string): boolean {
    const token = this.#peek()
    if (token.kind !== 'symbol' || token.text !== text) return false
    this.#at += 1
    return true
  }

  #close(context: string): void {
    this.#skipSpace()
    const token = this.#next()
    if (token.kind !== 'close') throw this.#wrong(`unexpected ${describe(token)} in ${context}`)
  }

  #skipSpace(): void {
    while (this.#peek().kind === 'space') this.#at += 1
  }

  #peek(): Token {
    return this.#tokens[this.#at]!
  }

  #next(): Token {
    const token = this.#peek()
    if (token.kind !== 'end') this.#at += 1
    return token
  }

  #enter(): void {
    this.#depth += 1
    if (this.#depth > DEPTH_LIMIT) throw this.#wrong('too deeply nested')
  }

  #leave<T>(result: T): T {
    this.#depth -= 1
    return result
  }

  #wrong(message: string): TemplateError {
    return new TemplateError(`template: :${this.#peek().at.line}: ${message}`)
  }
}

function describe(token: Token): string {
  switch (token.kind) {
    case 'end':
      return 'EOF'
    case 'close':
      return '"}}"'
    case 'literal':
      return JSON.stringify(token.value)
    case 'field':
      return `<.${token.text}>`
    case 'open':
    case 'space':
      return token.kind
    default:
      return `"${token.text}"`
  }
}
