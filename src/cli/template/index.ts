export { TemplateError } from './ast.ts'
export type { Shape } from './evaluate.ts'
export { compileTemplate } from './template.ts'
