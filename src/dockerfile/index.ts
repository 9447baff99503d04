export { type CommandLine, type ConfigInstruction, type HealthcheckOptions, parseConfigInstruction } from './configInstruction.ts'
export type { Lookup } from './words.ts'
