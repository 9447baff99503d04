import { chmod, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { CURRENT_DIRECTORY, mount, removeTreeAt, unmount } from '../../src/host/index.ts'
import { completeLayer, type LayerIndex, type ReadableTree, type TreeNode } from '../../src/layer/index.ts'
import type { IndexedLayer } from '../../src/union/index.ts'
import {
  applyHere,
  device,
  dir,
  fifo,
  file,
  hardlink,
  makeDirectory,
  type Member,
  opaque,
  symlink,
  tarOf,
  whiteout,
} from '../layer/layerTars.ts'

export const paths: fc.Arbitrary<string> = fc
  .array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 3 })
  .map(names => names.join('/'))

/** Has a valid value only; the kernel refuses others. linux/capability.h, vfs_cap_data revision 2 */
export const CAPABILITY: Buffer = Buffer.from('0100000200200000000000000000000000000000', 'hex')

const attributes = fc.record({
  mode: fc.constantFrom(0o644, 0o755, 0o2755, 0o6744, 0o1777),
  uid: fc.nat(2),
  gid: fc.nat(2),
  modifiedAt: fc.constantFrom({ seconds: 5, nanoseconds: 0 }, { seconds: -5, nanoseconds: 7 }),
})
const xattrs = fc.constantFrom<[string, Uint8Array][]>([], [], [['user.a', Buffer.from('1')]], [['security.capability', CAPABILITY]])
const full = fc.tuple(attributes, xattrs).map(([plain, pairs]) => ({ ...plain, xattrs: new Map(pairs) }))

const members: fc.Arbitrary<Member> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.tuple(paths, fc.constantFrom('', 'xyz', 'y'.repeat(5000)), full).map(([path, bytes, more]) => file(path, bytes, more)),
  },
  { weight: 5, arbitrary: fc.tuple(paths, full).map(([path, more]) => dir(path, more)) },
  {
    weight: 2,
    arbitrary: fc.tuple(paths, fc.constantFrom('a', '/b', '../c', '/b/c'), attributes).map(([path, to, more]) => symlink(path, to, more)),
  },
  { weight: 3, arbitrary: fc.tuple(paths, paths, attributes).map(([path, target, more]) => hardlink(path, target, more)) },
  fc.tuple(paths, attributes).map(([path, more]) => fifo(path, more)),
  paths.map(path => device(path, 'character', 1, 3)),
  { weight: 3, arbitrary: paths.map(whiteout) },
  { weight: 2, arbitrary: fc.oneof(paths, fc.constant('')).map(opaque) },
  full.map(more => dir('.', more)),
)

/** Layer tars, the base first; not every stack is valid. */
export const stacks: fc.Arbitrary<Member[][]> = fc
  .array(fc.array(members, { minLength: 1, maxLength: 7 }), { minLength: 1, maxLength: 4 })
  .map(withTargets)

/** Most random hard links lead nowhere: gives each a file that came before it, and leaves out what has none. */
function withTargets(stack: readonly (readonly Member[])[]): Member[][] {
  const files: string[] = []
  return stack.map(layer =>
    layer.flatMap(member => {
      if (member.type === 'file' && !member.path.includes('.wh.')) files.push(member.path)
      if (member.type !== 'hardlink') return [member]
      const linkPath = files.at(-member.linkPath.length % files.length)
      return linkPath === undefined ? [] : [{ ...member, linkPath }]
    }),
  )
}

export interface UnpackedStack {
  /** Layers in overlayfs's form, top first; the last is empty, because overlayfs wants two. */
  readonly directories: readonly string[]
  /** The same layers, not unpacked. */
  readonly layers: readonly IndexedLayer[]
}

/** Applies and completes layers each in a directory of its own; rejects where a layer is invalid. */
export async function unpack(scratch: string, stack: readonly (readonly Member[])[]): Promise<UnpackedStack> {
  const directories = [await oldDirectory(scratch, 'empty')]
  const layers: IndexedLayer[] = [indexedLayer((await applyHere(tarOf(), undefined)).index, tarOf())]
  for (const [at, layer] of stack.entries()) {
    const tar = tarOf(...layer)
    const directory = await oldDirectory(scratch, `layer${at}`)
    const { index } = await applyHere(tar, directory)
    await completeLayer(directory, directories)
    directories.unshift(directory)
    layers.unshift(indexedLayer(index, tar))
  }
  return { directories, layers }
}

/** The index of any tar. */
export async function indexLayerHere(tar: Uint8Array): Promise<LayerIndex> {
  return (await applyHere(tar, undefined)).index
}

/** A layer whose content is in a tar in memory. */
export function indexedLayer(index: LayerIndex, tar: Uint8Array): IndexedLayer {
  return {
    index,
    async *open(path, range = {}) {
      const entry = index.get(path)
      if (entry?.type !== 'file') throw new Error(`no file at ${path}`)
      if (entry.sparse !== undefined) throw new Error('tests have no sparse files')
      const end = Math.min(entry.size, range.end ?? entry.size)
      yield tar.subarray(entry.dataOffset + (range.start ?? 0), entry.dataOffset + end)
    },
  }
}

/** An empty directory whose time is long ago. */
export async function oldDirectory(parent: string, name: string): Promise<string> {
  const path = await makeDirectory(parent, name)
  await chmod(path, 0o755)
  await utimes(path, 0, 0)
  return path
}

/** Mounts overlayfs, with an upper directory or read-only. Options that change what an upper directory means are off; unmounting syncs nothing. */
export async function withOverlay<T>(
  scratch: string,
  { lowers, upper }: { readonly lowers: readonly string[]; readonly upper?: string },
  use: (target: string) => Promise<T>,
): Promise<T> {
  const target = join(scratch, 'mounted')
  const work = join(scratch, 'work')
  for (const directory of [target, work]) {
    removeTreeAt(CURRENT_DIRECTORY, directory)
    await oldDirectory(scratch, directory.slice(scratch.length + 1))
  }
  const writable = upper === undefined ? ['ro'] : [`upperdir=${upper}`, `workdir=${work}`, 'index=off', 'volatile']
  mount(
    { type: 'overlay', source: 'overlay', options: [`lowerdir=${lowers.join(':')}`, 'redirect_dir=off', 'metacopy=off', ...writable] },
    target,
  )
  try {
    return await use(target)
  } finally {
    unmount(target)
  }
}

const NOW = { seconds: 9_999_999_999, nanoseconds: 0 }

/** The same tree, in which all times of this century are equal: tests never set such a time, changes do. */
export function withoutClock(tree: ReadableTree): ReadableTree {
  const timeless = (node: TreeNode): TreeNode => (node.modifiedAt.seconds > 1_500_000_000 ? { ...node, modifiedAt: NOW } : node)
  return {
    lstat: async path => {
      const node = await tree.lstat(path)
      return node === undefined ? undefined : timeless(node)
    },
    list: path => tree.list(path),
    open: (path, range) => tree.open(path, range),
    close: () => tree.close(),
  }
}
