import { compareFileNames, encodeFileName } from '../base/index.ts'

const ASCII = /^[\0-\x7f]*$/
const SURROGATE = /[\ud800-\udfff]/

/** How many bytes a name has. */
export function nameLength(name: string): number {
  return ASCII.test(name) ? name.length : encodeFileName(name).length
}

/** Writes a name and returns where it ends. */
export function writeName(into: Buffer, name: string, at: number): number {
  if (ASCII.test(name)) return at + into.write(name, at, 'latin1')
  return at + encodeFileName(name).copy(into, at)
}

/** Names in the order of their bytes. UTF-16 order is the same where no surrogate is in the way, and much quicker. */
export function sortedNames(names: Iterable<string>): string[] {
  const sorted = [...names]
  return sorted.some(name => SURROGATE.test(name)) ? sorted.sort(compareFileNames) : sorted.sort()
}
