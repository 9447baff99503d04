import { constants } from 'node:fs'
import { posix } from 'node:path'
import { errnoOf } from '../base/index.ts'
import { close, type ConfinedRoot, makeDirectoryAt, openAt, setTimesAt, statAt } from '../host/index.ts'
import type { Change, ReadableTree, TreeNode } from '../layer/index.ts'

/*
 * A mount needs something to be mounted on. Where an image lacks what every container gets, an empty
 * file or directory is put into the container layer before the runtime would do it, in a way that can
 * be told from what a container does: the directory around it keeps its times.
 */

/** Docker's own, parents first. */
const DIRECTORIES = ['dev', 'etc', 'proc', 'sys'] as const
const FILES = ['etc/hostname', 'etc/hosts', 'etc/resolv.conf'] as const
const INIT = ['sbin', 'sbin/docker-init'] as const

const STUBS: ReadonlySet<string> = new Set<string>([...DIRECTORIES, ...FILES, ...INIT])

/** Makes what is missing of the places that every container's own mounts are made on. */
export function makeStubs(root: ConfinedRoot, withInit: boolean): void {
  for (const path of DIRECTORIES) makeStub(root, path, 'directory')
  for (const path of FILES) makeStub(root, path, 'file')
  if (!withInit) return
  makeStub(root, INIT[0], 'directory')
  makeStub(root, INIT[1], 'file')
}

function makeStub(root: ConfinedRoot, path: string, type: 'directory' | 'file'): void {
  try {
    root.at(path, (directory, name) => {
      if (exists(directory, name)) return
      const { accessedAt, modifiedAt } = statAt(directory, '.')
      if (type === 'directory') makeDirectoryAt(directory, name, 0o755)
      else close(openAt(directory, name, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW, 0o644))
      setTimesAt(directory, '.', { accessedAt, modifiedAt })
    })
  } catch (error) {
    // An image whose /etc is no directory: whether the container can be, the runtime will say.
    if (!['ENOENT', 'ENOTDIR', 'ELOOP'].includes(errnoOf(error) ?? '')) throw error
  }
}

function exists(directory: number, name: string): boolean {
  try {
    statAt(directory, name)
    return true
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw error
  }
}

/**
 * The changes of a container layer without the places that were made for mounts, and without the
 * directories that are only listed because of them.
 *
 * @param lower what the layers below show
 * @param mountPoints more places that something was mounted on
 */
export async function withoutStubs(
  changes: AsyncIterable<Change>,
  lower: ReadableTree | undefined,
  mountPoints: readonly string[] = [],
): Promise<readonly Change[]> {
  const stubs = new Set([...STUBS, ...mountPoints])
  // Who made the place for the mount has changed the time of the directory around it.
  const around = new Set(mountPoints.map(path => posix.dirname(path)))
  const all: Change[] = []
  for await (const change of changes) all.push(change)
  const kept: Change[] = []
  /** Directories that something which is kept lies in. */
  const needed = new Set<string>()
  // What is in a directory comes after it, so that backwards all below is decided before.
  for (const change of all.toReversed()) {
    if (isStub(change, stubs) && !needed.has(change.path)) continue
    const untouched = change.kind === 'modify' && !needed.has(change.path) && (await isUntouched(change, lower, around.has(change.path)))
    if (untouched) continue
    kept.push(change)
    for (let path = posix.dirname(change.path); path !== '.' && !needed.has(path); path = posix.dirname(path)) needed.add(path)
  }
  return kept.toReversed()
}

function isStub(change: Change, stubs: ReadonlySet<string>): boolean {
  if (change.kind !== 'add' || !stubs.has(change.path)) return false
  return change.node.type === 'directory' || (change.node.type === 'file' && change.node.size === 0)
}

/** A directory that is as it was: it was listed for what is in it. */
async function isUntouched(
  { path, node }: Change & { readonly kind: 'add' | 'modify' },
  lower: ReadableTree | undefined,
  atAnyTime: boolean,
): Promise<boolean> {
  if (node.type !== 'directory') return false
  const before = await lower?.lstat(path)
  return before !== undefined && sameDirectory(before, atAnyTime ? { ...node, modifiedAt: before.modifiedAt } : node)
}

function sameDirectory(a: TreeNode, b: TreeNode): boolean {
  return (
    a.type === b.type &&
    a.mode === b.mode &&
    a.uid === b.uid &&
    a.gid === b.gid &&
    a.modifiedAt.seconds === b.modifiedAt.seconds &&
    a.modifiedAt.nanoseconds === b.modifiedAt.nanoseconds &&
    a.xattrs.size === b.xattrs.size &&
    [...a.xattrs].every(([name, value]) => Buffer.compare(value, b.xattrs.get(name) ?? Buffer.alloc(0)) === 0)
  )
}
