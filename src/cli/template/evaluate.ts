import { type Node, type Operand, type Pipeline, TemplateError } from './ast.ts'
import { FUNCTIONS } from './functions.ts'
import { formatValue, isNil, isObject, isTrue, NIL_MAP, NIL_POINTER, NIL_SLICE, sortedKeys, type Value } from './values.ts'

/** What JSON does not tell of the data, and Go's types would. */
export interface Shape {
  /** Fields that may be absent; any other absent field is a mistake in the template. */
  readonly optional: ReadonlySet<string>
  /** What text, numbers and truths are where they are absent: Go has no null of these. */
  readonly zeros: ReadonlyMap<string, string | number | boolean>
  /** Fields whose null is an empty map, or a nil pointer; of all others it is an empty list. */
  readonly maps: ReadonlySet<string>
  readonly pointers: ReadonlySet<string>
}

/** Output that a template may make: formats print lines, not books. */
const OUTPUT_LIMIT = 64 * 1024 * 1024

type Leap = 'break' | 'continue' | undefined

interface Variable {
  readonly name: string
  value: Value
}

/** Runs a parsed template over a value. Throws a TemplateError that names the place, as Go does. */
export function evaluateTemplate(nodes: readonly Node[], data: Value, shape: Shape): string {
  const run = new Run(data, shape)
  run.list(nodes, data)
  return run.output()
}

class Run {
  readonly #shape: Shape
  readonly #variables: Variable[]
  readonly #parts: string[] = []
  #size = 0

  constructor(data: Value, shape: Shape) {
    this.#shape = shape
    this.#variables = [{ name: '$', value: data }]
  }

  output(): string {
    return this.#parts.join('')
  }

  list(nodes: readonly Node[], dot: Value): Leap {
    for (const node of nodes) {
      const leap = this.#node(node, dot)
      if (leap !== undefined) return leap
    }
    return undefined
  }

  #node(node: Node, dot: Value): Leap {
    switch (node.kind) {
      case 'text':
        this.#write(node.text)
        return undefined
      case 'output': {
        const value = this.#pipeline(node.pipeline, dot)
        if (node.pipeline.variables.length === 0) this.#write(formatValue(value))
        return undefined
      }
      case 'if':
      case 'with':
        return this.#scoped(() => {
          for (const { pipeline, body } of node.branches) {
            const value = this.#pipeline(pipeline, dot)
            if (isTrue(value)) return this.list(body, node.kind === 'with' ? value : dot)
          }
          return this.list(node.otherwise, dot)
        })
      case 'range':
        return this.#scoped(() => this.#range(node, dot))
      default:
        return node.kind
    }
  }

  #range(node: Extract<Node, { kind: 'range' }>, dot: Value): Leap {
    const variables = node.pipeline.variables
    const over = this.#pipeline({ ...node.pipeline, variables: [] }, dot)
    const elements = this.#elements(over)
    if (elements.length === 0) return this.list(node.otherwise, dot)
    for (const [key, element] of elements) {
      const leap = this.#scoped(() => {
        const values = variables.length === 1 ? [element] : [key, element]
        variables.forEach((name, at) => this.#set(name, values[at], node.pipeline.assigns))
        return this.list(node.body, element)
      })
      if (leap === 'break') break
    }
    return undefined
  }

  #elements(over: Value): readonly (readonly [Value, Value])[] {
    if (isNil(over)) return []
    if (Array.isArray(over)) return over.map((element: Value, index) => [index, element])
    if (isObject(over)) return sortedKeys(over).map(key => [key, this.#known(key, over[key])])
    if (typeof over === 'number' && Number.isInteger(over)) return Array.from({ length: Math.min(over, 1_000_000) }, (_, at) => [at, at])
    throw new TemplateError(`template: range can't iterate over ${formatValue(over)}`)
  }

  #scoped(body: () => Leap): Leap {
    const before = this.#variables.length
    const leap = body()
    this.#variables.length = before
    return leap
  }

  #set(name: string, value: Value, assigns: boolean): void {
    const existing = assigns ? this.#variables.findLast(variable => variable.name === name) : undefined
    if (existing === undefined) this.#variables.push({ name, value })
    else existing.value = value
  }

  #pipeline(pipeline: Pipeline, dot: Value): Value {
    let value: Value
    let piped = false
    for (const command of pipeline.commands) {
      value = this.#command(command, dot, piped ? [value] : [])
      piped = true
    }
    for (const name of pipeline.variables) this.#set(name, value, pipeline.assigns)
    return value
  }

  #command(command: readonly [Operand, ...Operand[]], dot: Value, piped: readonly Value[]): Value {
    const [first, ...rest] = command
    if (first.kind === 'function') return this.#function(first, rest, dot, piped)
    const value = this.#operand(first, dot, true)
    if (typeof value === 'function') {
      const args = [...rest.map(operand => this.#operand(operand, dot)), ...piped]
      return (value as (...args: readonly Value[]) => Value)(...args)
    }
    if (rest.length > 0 || piped.length > 0) throw this.#wrong(first, `can't give argument to non-function ${describeOperand(first)}`)
    return value
  }

  #function(operand: Extract<Operand, { kind: 'function' }>, rest: readonly Operand[], dot: Value, piped: readonly Value[]): Value {
    const { name } = operand
    if (name === 'and' || name === 'or') {
      let value: Value
      for (const next of [...rest.map(other => () => this.#operand(other, dot)), ...piped.map(last => () => last)]) {
        value = next()
        if (isTrue(value) === (name === 'or')) return value
      }
      return value
    }
    const called = FUNCTIONS[name]!
    const args = [...rest.map(other => this.#operand(other, dot)), ...piped]
    const [least, most] = called.arity
    if (args.length < least || args.length > most) {
      throw this.#wrong(
        operand,
        `wrong number of args for ${name}: want ${most === Infinity ? `at least ${least}` : most} got ${args.length}`,
      )
    }
    try {
      return called.call(...args)
    } catch (error) {
      throw this.#wrong(operand, (error as Error).message)
    }
  }

  /** @param callable leaves a function that is first in its command uncalled: it may have arguments */
  #operand(operand: Operand, dot: Value, callable = false): Value {
    switch (operand.kind) {
      case 'dot':
        return dot
      case 'nil':
        return NIL_POINTER
      case 'literal':
        return operand.value
      case 'function':
        return this.#function(operand, [], dot, [])
      case 'field':
        return this.#fields(operand, dot, operand.path, callable)
      case 'variable': {
        const variable = this.#variables.findLast(({ name }) => name === operand.name)
        return this.#fields(operand, variable?.value, operand.path, callable)
      }
      default:
        return this.#fields(operand, this.#pipeline(operand.pipeline, dot), operand.path, callable)
    }
  }

  #fields(operand: Operand, start: Value, path: readonly string[], callable: boolean): Value {
    let value = start
    for (const [at, name] of path.entries()) {
      value = this.#field(operand, value, name)
      const last = at === path.length - 1
      if (typeof value === 'function' && !(last && callable)) value = (value as () => Value)()
    }
    return value
  }

  #field(operand: Operand, owner: Value, name: string): Value {
    if (isNil(owner)) {
      if (owner === NIL_MAP) return undefined
      throw this.#wrong(operand, `nil pointer evaluating field ${name}`)
    }
    if (!isObject(owner)) throw this.#wrong(operand, `can't evaluate field ${name} in type ${typeof owner}`)
    if (Object.hasOwn(owner, name)) return this.#known(name, owner[name])
    if (this.#shape.optional.has(name) || this.#shape.zeros.has(name)) return this.#known(name, null)
    // Go's struct fields are capitalised; other names are keys of a map, where absence is no mistake.
    if (!/^\p{Lu}/u.test(name)) return undefined
    throw this.#wrong(operand, `map has no entry for key "${name}"`)
  }

  #known(name: string, value: Value): Value {
    if (value !== null && value !== undefined) return value
    const zero = this.#shape.zeros.get(name)
    if (zero !== undefined) return zero
    if (this.#shape.maps.has(name)) return NIL_MAP
    return this.#shape.pointers.has(name) ? NIL_POINTER : NIL_SLICE
  }

  #write(text: string): void {
    this.#size += text.length
    if (this.#size > OUTPUT_LIMIT) throw new TemplateError('template: the output is too long')
    this.#parts.push(text)
  }

  #wrong(operand: Operand, message: string): TemplateError {
    return new TemplateError(
      `template: :${operand.at.line}:${operand.at.column}: executing "" at <${describeOperand(operand)}>: ${message}`,
    )
  }
}

function describeOperand(operand: Operand): string {
  switch (operand.kind) {
    case 'dot':
      return '.'
    case 'literal':
      return JSON.stringify(operand.value)
    case 'function':
      return operand.name
    case 'field':
      return `.${operand.path.join('.')}`
    case 'variable':
      return [operand.name, ...operand.path].join('.')
    case 'group':
      return `(…)${operand.path.map(name => `.${name}`).join('')}`
    default:
      return operand.kind
  }
}
