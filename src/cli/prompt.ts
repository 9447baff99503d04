import { createInterface } from 'node:readline/promises'
import type { Invocation } from './invocation.ts'

/** Asks for consent as docker does; anything but `y` or `Y` is no. Without a terminal the answer is read from stdin as well. */
export async function confirm(invocation: Invocation, warning: string): Promise<boolean> {
  invocation.print(`WARNING! ${warning}\nAre you sure you want to continue? [y/N] `)
  const lines = createInterface({ input: invocation.surroundings.stdin })
  try {
    for await (const line of lines) return /^y$/i.test(line.trim())
    return false
  } finally {
    lines.close()
  }
}
