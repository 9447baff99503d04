import { fileURLToPath } from 'node:url'
import { type ProgramResult, runProgram } from '../../src/base/index.ts'

/** This installation's own command. */
export const STRATA: string = fileURLToPath(new URL('../../bin/strata', import.meta.url))

/** Runs `strata …` as a user does. */
export function strata(args: readonly string[], input?: string | Uint8Array): Promise<ProgramResult> {
  return runProgram(STRATA, args, { timeoutMs: 120_000, ...(input === undefined ? {} : { input }) })
}

/** Runs a program that must succeed, and gives what it printed. */
export async function must(file: string, ...args: readonly string[]): Promise<string> {
  const result = await runProgram(file, args, { timeoutMs: 120_000 })
  if (result.code !== 0) throw new Error(`${file} ${args.join(' ')} ended with ${result.code}: ${result.stderr.slice(-2000)}`)
  return result.stdout
}
