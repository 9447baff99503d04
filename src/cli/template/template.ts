import { TemplateError } from './ast.ts'
import { evaluateTemplate, type Shape } from './evaluate.ts'
import { FUNCTION_NAMES } from './functions.ts'
import { parseTemplate } from './parse.ts'

const PLAIN: Shape = { optional: new Set(), zeros: new Map(), maps: new Set(), pointers: new Set() }

/**
 * Compiles a format as docker's `--format` takes it: Go's template language without `define`,
 * `template`, `block`.
 *
 * @param shape what JSON does not tell of the data
 * Throws a TemplateError in Go's words, here for the grammar and later for what does not fit the data.
 */
export function compileTemplate(source: string, shape: Shape = PLAIN): (data: unknown) => string {
  let nodes: ReturnType<typeof parseTemplate>
  try {
    nodes = parseTemplate(source, FUNCTION_NAMES)
  } catch (error) {
    if (error instanceof TemplateError) throw new TemplateError(`Cannot parse format "${shortened(source)}": ${error.message}`)
    throw error
  }
  return data => {
    try {
      return evaluateTemplate(nodes, data, shape)
    } catch (error) {
      if (error instanceof TemplateError) throw new TemplateError(`Cannot apply format "${shortened(source)}": ${error.message}`)
      throw error
    }
  }
}

/** A message is one line for people, whatever the format's length. */
function shortened(source: string): string {
  return source.length <= 200 ? source : `${source.slice(0, 199)}…`
}
