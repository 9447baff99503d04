export { parseConfigInstruction } from './configInstruction.ts'
export { expandInstruction } from './expandInstruction.ts'
export { IgnorePatterns } from './ignorePatterns.ts'
export type {
  AddInstruction,
  ArgInstruction,
  CommandLine,
  ConfigInstruction,
  CopyInstruction,
  FromInstruction,
  HealthcheckOptions,
  Instruction,
  RunInstruction,
  RunMount,
} from './instruction.ts'
export { type Dockerfile, parseDockerfile, type Stage, type Statement } from './parseDockerfile.ts'
export type { Expansion, Lookup } from './words.ts'
