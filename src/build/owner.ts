import { readAtMost, StrataError } from '../base/index.ts'
import type { ReadableTree } from '../layer/index.ts'
import type { Owner } from './copyFiles.ts'
import { resolvePath } from './treePaths.ts'

/** More is no file of users. 16 MiB. */
const LIMIT = 16 * 1024 * 1024

/**
 * Whom `--chown` means: `user`, `user:group`, numbers or names that the tree's own passwd and group have. A user alone has the
 * group of the same number.
 *
 * Rejects with `notFound` (STRATA_NO_SUCH_USER) for a name that is not there.
 */
export async function findOwner(tree: ReadableTree, text: string): Promise<Owner> {
  const [user = '', group] = text.split(':')
  const uid = await idOf(tree, user, { file: 'etc/passwd', what: 'user' })
  const gid = group === undefined || group === '' ? uid : await idOf(tree, group, { file: 'etc/group', what: 'group' })
  return { uid, gid }
}

async function idOf(tree: ReadableTree, name: string, { file, what }: { readonly file: string; readonly what: string }): Promise<number> {
  if (/^\d{1,10}$/.test(name)) return Number(name)
  const { path, node } = await resolvePath(tree, file, { last: true })
  const text = node?.type === 'file' ? (await readAtMost(tree.open(path), LIMIT, `/${file}`)).toString() : ''
  const line = text.split('\n').find(each => each.startsWith(`${name}:`))
  const id = line?.split(':')[2]
  if (name !== '' && id !== undefined && /^\d{1,10}$/.test(id)) return Number(id)
  throw new StrataError('notFound', 'STRATA_NO_SUCH_USER', `Cannot give files to ${what} "${name}": /${file} of the image has none`)
}
