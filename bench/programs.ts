import { runProgram } from '../src/base/index.ts'

/** Runs a program that has to succeed, with `env` beside this process's own; resolves with its stdout, rejects with the end of what it printed. */
export async function must(
  file: string,
  args: readonly string[],
  options: { cwd?: string; input?: string; env?: Readonly<Record<string, string>> | undefined } = {},
): Promise<string> {
  const { env = {}, ...others } = options
  const result = await runProgram(file, args, { ...others, env: { ...process.env, ...env } })
  if (result.code === 0) return result.stdout
  const printed = (result.stderr || result.stdout).trim().slice(-1500)
  throw new Error(`Cannot run "${file} ${args.join(' ')}": it ended with ${result.signal ?? result.code}: ${printed}`)
}
