import { StrataError } from '../base/index.ts'
import { IgnorePatterns } from '../dockerfile/index.ts'
import type { ReadableTree } from '../layer/index.ts'
import { joined, resolvePath } from './treePaths.ts'

/** What a source of COPY or ADD means in its tree. */
export interface FoundSource {
  /** Without links; '' is the root. */
  readonly path: string
  /** The name that it has in a directory, as it was written. */
  readonly name: string
  /** As it was written, wildcards resolved: the folders above it are those that `--parents` keeps. */
  readonly written: string
}

const WILD = /[*?[\\]/

/**
 * Finds what a source names: a path, or each that a pattern matches, sorted. A link is followed, and never leads out of the tree.
 *
 * Rejects with `notFound` (STRATA_NO_SUCH_SOURCE) where there is nothing.
 */
export async function findSources(tree: ReadableTree, source: string): Promise<readonly FoundSource[]> {
  const parts = source.split('/').filter(part => part !== '' && part !== '.')
  let found: readonly string[] = ['']
  for (const part of parts) found = (await Promise.all(found.map(directory => matching(tree, directory, part)))).flat()
  const sources: FoundSource[] = []
  for (const written of found) {
    const { path, node } = await resolvePath(tree, written, { last: true })
    if (node !== undefined) sources.push({ path, name: written.slice(written.lastIndexOf('/') + 1), written })
  }
  if (sources.length > 0) return sources
  throw new StrataError('notFound', 'STRATA_NO_SUCH_SOURCE', `Cannot copy "${source}": there is no such file or directory`, {
    hint: 'A .dockerignore may leave it out.',
  })
}

/** The paths below `directory` that one part of a pattern may mean. */
async function matching(tree: ReadableTree, directory: string, part: string): Promise<readonly string[]> {
  if (part === '..') return [directory.slice(0, Math.max(0, directory.lastIndexOf('/')))]
  if (!WILD.test(part)) return [joined(directory, part)]
  const { path, node } = await resolvePath(tree, directory, { last: true })
  if (node?.type !== 'directory') return []
  const pattern = new IgnorePatterns([part])
  return (await tree.list(path)).filter(name => pattern.ignores(name)).map(name => joined(directory, name))
}
