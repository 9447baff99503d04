import { formatError } from './errors.ts'

/** Ends this process with one line that says why, where there is nobody to hand an error to. */
export function giveUp(error: unknown): never {
  process.stderr.write(`${formatError(error)}\n`)
  process.exit(1)
}
