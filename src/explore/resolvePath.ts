import { StrataError } from '../base/index.ts'
import type { TreeNode } from '../layer/index.ts'
import { quoted } from '../oci/index.ts'

/** Something that stands at a path: without a slash at its begin, and '' for the root. */
export interface Place {
  readonly path: string
  readonly type: TreeNode['type']
}

export interface ResolveOptions {
  /** What stands at exactly a path, where nothing is followed. */
  readonly find: (path: string) => Promise<Pick<TreeNode, 'type' | 'linkTarget'> | undefined>
  /** Whether a symlink at the end of the path is followed; one before a slash always is. */
  readonly followsLast: boolean
}

/** As the kernel's limit for one path (MAXSYMLINKS). path_resolution(7) */
const SYMLINKS = 40
/** Names on the way, those in symlinks included: so many links of the greatest length could have a hundred thousand. */
const NAMES = 10_000

/**
 * Walks along a path as a process does whose root is the image: symlinks are followed, and neither they nor `..` lead
 * out of the root.
 *
 * Rejects with `notFound` (STRATA_NO_SUCH_FILE), `invalidArgument` (STRATA_NOT_A_DIRECTORY) when something else than a
 * directory has to be walked through, and `invalidArgument` (STRATA_TOO_MANY_SYMLINKS, STRATA_PATH_TOO_LONG).
 */
export async function resolvePath(asked: string, { find, followsLast }: ResolveOptions): Promise<Place> {
  const pending = namesOf(asked).toReversed()
  const mustBeDirectory = /\/\.?$/.test(asked)
  const done: string[] = []
  let symlinks = 0
  let names = 0
  let type: TreeNode['type'] = 'directory'
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    names += 1
    if (names > NAMES) throw fault(asked, 'invalidArgument', 'STRATA_PATH_TOO_LONG', `it leads over more than ${NAMES} names`)
    if (type !== 'directory')
      throw fault(asked, 'invalidArgument', 'STRATA_NOT_A_DIRECTORY', `${quoted(`/${done.join('/')}`)} is not a directory`)
    if (name === '..') {
      done.pop()
      continue
    }
    const node = await find([...done, name].join('/'))
    if (node === undefined) throw fault(asked, 'notFound', 'STRATA_NO_SUCH_FILE', 'no such file or directory')
    const { linkTarget } = node
    if (linkTarget === undefined || (pending.length === 0 && !followsLast && !mustBeDirectory)) {
      done.push(name)
      type = node.type
      continue
    }
    symlinks += 1
    if (symlinks > SYMLINKS) throw fault(asked, 'invalidArgument', 'STRATA_TOO_MANY_SYMLINKS', 'too many levels of symbolic links')
    if (linkTarget.startsWith('/')) done.length = 0
    pending.push(...namesOf(linkTarget).toReversed())
  }
  if (mustBeDirectory && type !== 'directory') throw fault(asked, 'invalidArgument', 'STRATA_NOT_A_DIRECTORY', 'it is not a directory')
  return { path: done.join('/'), type }
}

/** The parts of a path; `.` and empty parts vanish, `..` stays. */
function namesOf(path: string): string[] {
  return path.split('/').filter(name => name !== '' && name !== '.')
}

function fault(path: string, kind: 'notFound' | 'invalidArgument', code: `STRATA_${string}`, state: string): StrataError {
  return new StrataError(kind, code, `Cannot find ${quoted(path)} in the image: ${state}`)
}
