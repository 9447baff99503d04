import { compareFileNames } from '../base/index.ts'

const SURROGATE = /[\ud800-\udfff]/

/** Orders names by their bytes; UTF-16 order is the same where no surrogate is in the way. */
export function compareNames(a: string, b: string): number {
  if (SURROGATE.test(a) || SURROGATE.test(b)) return compareFileNames(a, b)
  return a === b ? 0 : a < b ? -1 : 1
}

/** Orders paths so that a directory comes before what is in it, and siblings by the bytes of their names. */
export function comparePaths(a: string, b: string): number {
  // No name has a NUL, so that it is the one separator that is below every name.
  return compareNames(a.replaceAll('/', '\0'), b.replaceAll('/', '\0'))
}

/** The directory of a path and those above it, without the root, nearest first. */
export function* directoriesAbove(path: string): Generator<string> {
  for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1)) yield path.slice(0, slash)
}

/** The path of a name in a directory. */
export function childPath(directory: string, name: string): string {
  return directory === '' ? name : `${directory}/${name}`
}
