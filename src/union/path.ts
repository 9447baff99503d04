import { compareFileNames } from '../base/index.ts'

/** The directory of a path; the root's is the root. */
export function parentPath(path: string): string {
  const slash = path.lastIndexOf('/')
  return slash === -1 ? '' : path.slice(0, slash)
}

/** The last name of a path; the root's is ''. */
export function lastName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/** The path of a name in a directory. */
export function childPath(directory: string, name: string): string {
  return directory === '' ? name : `${directory}/${name}`
}

const SURROGATE = /[\ud800-\udfff]/

/** Names by their bytes. UTF-16 order is the same where no surrogate is in the way, and much quicker. */
export function sortedNames(names: Iterable<string>): string[] {
  const sorted = [...names]
  return sorted.some(name => SURROGATE.test(name)) ? sorted.sort(compareFileNames) : sorted.sort()
}
