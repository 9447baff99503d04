/*
 * The part of Go's text/template language that `--format` needs, as a tree. Names follow the
 * package's documentation (pkg.go.dev/text/template): actions, pipelines, commands, operands.
 */

export type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'output'; readonly pipeline: Pipeline }
  | { readonly kind: 'if' | 'with'; readonly branches: readonly Branch[]; readonly otherwise: readonly Node[] }
  | { readonly kind: 'range'; readonly pipeline: Pipeline; readonly body: readonly Node[]; readonly otherwise: readonly Node[] }
  | { readonly kind: 'break' | 'continue' }

export interface Branch {
  readonly pipeline: Pipeline
  readonly body: readonly Node[]
}

export interface Pipeline {
  /** `$x :=` or, in a range, `$i, $x :=`. */
  readonly variables: readonly string[]
  /** `$x =` changes a variable that exists. */
  readonly assigns: boolean
  readonly commands: readonly (readonly [Operand, ...Operand[]])[]
}

export type Operand = { readonly at: Position } & (
  | { readonly kind: 'dot' | 'nil' }
  | { readonly kind: 'literal'; readonly value: string | number | boolean }
  | { readonly kind: 'function'; readonly name: string }
  /** `.A.B` */
  | { readonly kind: 'field'; readonly path: readonly string[] }
  /** `$x.A.B` */
  | { readonly kind: 'variable'; readonly name: string; readonly path: readonly string[] }
  /** `(index .A 0).B` */
  | { readonly kind: 'group'; readonly pipeline: Pipeline; readonly path: readonly string[] }
)

/** Where in the template, for messages: lines from 1, columns from 0, as Go counts. */
export interface Position {
  readonly line: number
  readonly column: number
}

/** The template is wrong, or does not fit the data. */
export class TemplateError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'TemplateError'
  }
}
