import * as fc from 'fast-check'
import { StrataError } from '../../src/base/index.ts'
import type { ErofsDirectory, ErofsExtent, ErofsFile, ErofsImage, ErofsInode, ErofsNode } from '../../src/erofs/index.ts'

/** Trees for tests of EROFS images: random ones, and what is in a tree or an image as one table. */

const PLAIN = { mode: 0o644, uid: 0, gid: 0, modifiedAt: { seconds: 1_000_000_000, nanoseconds: 0 }, xattrs: new Map<string, Uint8Array>() }

export const directory = (children: ReadonlyMap<string, ErofsNode>): ErofsDirectory => ({
  ...PLAIN,
  mode: 0o755,
  type: 'directory',
  children,
})

/** A file whose content is in the image. */
export const file = (size: number): ErofsFile => ({ ...PLAIN, type: 'file', size, content: Buffer.alloc(size, 'content') })

const xattrs = fc
  .array(
    fc.tuple(
      fc.constantFrom('user.x', 'user.a-longer-name', 'trusted.t', 'security.other', 'user.é'),
      fc.oneof(fc.constantFrom(Buffer.from('same'), Buffer.alloc(600, 'long')), fc.uint8Array({ maxLength: 40 })),
    ),
    { maxLength: 3 },
  )
  .map(pairs => new Map<string, Uint8Array>(pairs.map(([name, value]) => [name, Uint8Array.from(value)])))

const attributes = fc.record({
  mode: fc.integer({ min: 0, max: 0o7777 }),
  uid: fc.constantFrom(0, 1, 0xffff, 0x1_0000, 0xffff_fffe),
  gid: fc.constantFrom(0, 5, 0x1_0000),
  modifiedAt: fc.oneof(
    { weight: 3, arbitrary: fc.constant(PLAIN.modifiedAt) },
    {
      weight: 1,
      arbitrary: fc.record({
        seconds: fc.constantFrom(-1, 0, -(2 ** 31), 2 ** 31, 2 ** 33),
        nanoseconds: fc.constantFrom(0, 1, 999_999_999),
      }),
    },
  ),
  xattrs: fc.oneof({ weight: 3, arbitrary: fc.constant(PLAIN.xattrs) }, { weight: 1, arbitrary: xattrs }),
})

/** Pieces of whole blocks (but for the end of the file) in one of the first two devices, with or without holes between them. */
const extents: fc.Arbitrary<Pick<ErofsFile, 'size' | 'content'>> = fc
  .tuple(
    fc.array(fc.record({ hole: fc.nat(5), blocks: fc.integer({ min: 1, max: 40 }), at: fc.nat(100), device: fc.constantFrom(0, 2) }), {
      maxLength: 4,
    }),
    fc.constantFrom(1, 8),
    fc.nat(511),
    fc.nat(3),
  )
  .map(([pieces, unit, cut, tailHole]) => {
    const content: ErofsExtent[] = []
    let end = 0
    for (const { hole, blocks, at, device } of pieces) {
      const offset = end + hole * unit * 512
      const size = blocks * unit * 512
      content.push({ offset, size, device, position: at * 512 })
      end = offset + size
    }
    const last = content.at(-1)
    if (last !== undefined && tailHole === 0) {
      content[content.length - 1] = { ...last, size: last.size - cut }
      return { size: end - cut, content }
    }
    return { size: end + tailHole * unit * 512 + (last === undefined ? cut : 0), content }
  })

const files: fc.Arbitrary<ErofsFile> = fc
  .tuple(
    attributes,
    fc.oneof(
      { weight: 2, arbitrary: extents },
      fc.oneof(fc.nat(2000), fc.constantFrom(0, 1, 448, 449, 480, 512)).map(size => ({ size, content: Buffer.alloc(size, 'content') })),
    ),
  )
  .map(([more, content]) => ({ ...more, ...content, type: 'file' as const }))

/** Only files and directories have xattrs of users. xattr(7) */
const withoutUser = attributes.map(more => ({ ...more, xattrs: new Map([...more.xattrs].filter(([name]) => !name.startsWith('user.'))) }))

const specials: fc.Arbitrary<ErofsNode> = fc.oneof(
  fc.tuple(withoutUser, fc.constantFrom(2, 5, 447, 448, 449, 480, 512, 513, 2003, 4095)).map(([more, length]) => ({
    ...more,
    type: 'symlink' as const,
    target: length % 2 === 0 ? 't/'.repeat(length / 2) : `é${'t'.repeat(Math.max(0, length - 2))}`,
  })),
  fc
    .tuple(
      withoutUser,
      fc.constantFrom<'character' | 'block'>('character', 'block'),
      fc.constantFrom(0, 1, 255, 256, 0xfff),
      fc.constantFrom(0, 3, 255, 256, 0xf_ffff),
    )
    .map(([more, type, major, minor]) => ({ ...more, type, device: { major, minor } })),
  fc.tuple(withoutUser, fc.constantFrom<'fifo' | 'socket'>('fifo', 'socket')).map(([more, type]) => ({ ...more, type })),
)

const names = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('a', 'b', '!', '-', '...', '.wh', 'é', '\udcff', '\u{1f600}', '\uffee', 'with space', 'A') },
  { weight: 1, arbitrary: fc.tuple(fc.nat(99), fc.constantFrom(1, 20, 100, 253)).map(([n, length]) => `${n}`.padEnd(length, 'x')) },
)

const { tree } = fc.letrec<{ tree: ErofsDirectory; node: ErofsNode }>(tie => ({
  node: fc.oneof({ maxDepth: 3, withCrossShrink: true }, files, specials, tie('tree')),
  tree: fc
    .tuple(
      attributes,
      fc.array(fc.tuple(names, tie('node')), { maxLength: 6 }),
      fc.oneof({ weight: 30, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(80) }),
    )
    .map(([more, children, many]) => ({
      ...more,
      type: 'directory' as const,
      children: new Map([...children, ...Array.from({ length: many }, (_, n): [string, ErofsNode] => [`many-${n}`, file(n % 5)])]),
    })),
}))

/** Trees of which some names are hard links of others. */
export const trees: fc.Arbitrary<ErofsDirectory> = fc
  .tuple(tree, fc.array(fc.tuple(fc.nat(), fc.nat(), names), { maxLength: 4 }))
  .map(([root, links]) => {
    const directories: Map<string, ErofsNode>[] = []
    const others: ErofsNode[] = []
    const pending: ErofsNode[] = [root]
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      if (next.type !== 'directory') {
        others.push(next)
        continue
      }
      directories.push(next.children as Map<string, ErofsNode>)
      pending.push(...childrenOf(next).map(([, child]) => child))
    }
    for (const [from, to, name] of links) {
      const target = others[from % others.length]
      const into = directories[to % directories.length]!
      if (target !== undefined && into.get(name)?.type !== 'directory') into.set(name, target)
    }
    return root
  })

/** The names in a directory and what they stand for. */
export function childrenOf({ children }: ErofsDirectory): [string, ErofsNode][] {
  return [...children.keys()].map(name => [name, children.get(name)!])
}

/** What a path is, in a form that can be compared. */
export interface Facts {
  readonly facts: string
  /** Equal for hard links. */
  readonly inode: string
}

const PRINT = (more: Pick<ErofsInode, 'type' | 'mode' | 'uid' | 'gid' | 'modifiedAt' | 'xattrs'>, rest: readonly unknown[]): string =>
  JSON.stringify([
    more.type,
    more.mode.toString(8),
    more.uid,
    more.gid,
    more.modifiedAt,
    [...more.xattrs].map(([name, value]) => `${name}=${Buffer.from(value).toString('hex')}`).toSorted(),
    ...rest,
  ])

/** Everything in a tree or an image by path; `limit` is how many names are looked at. */
export function flatten(from: ErofsDirectory | ErofsImage, limit: number = Infinity): Map<string, Facts> {
  const all = new Map<string, Facts>()
  const named = 'inode' in from ? imageNames(from, limit) : treeNames(from)
  const first = new Map<unknown, string>()
  for (const { path, key, facts } of [...named].toSorted((a, b) => (a.path < b.path ? -1 : 1))) {
    if (!first.has(key)) first.set(key, path)
    all.set(path, { facts, inode: first.get(key)! })
  }
  return all
}

interface Named {
  readonly path: string
  readonly key: unknown
  readonly facts: string
}

function* treeNames(root: ErofsDirectory): Generator<Named> {
  const links = new Map<ErofsNode, number>()
  const found: { readonly path: string; readonly node: ErofsNode }[] = []
  const pending: { readonly path: string; readonly node: ErofsNode }[] = [{ path: '', node: root }]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { path, node } = next
    found.push(next)
    links.set(node, (links.get(node) ?? 0) + 1)
    if (node.type === 'directory') for (const [name, child] of childrenOf(node)) pending.push({ path: `${path}/${name}`, node: child })
  }
  for (const { path, node } of found) {
    if (node.type === 'directory') {
      const subdirectories = childrenOf(node).filter(([, { type }]) => type === 'directory').length
      yield { path, key: node, facts: PRINT(node, [2 + subdirectories]) }
    } else if (node.type === 'symlink') yield { path, key: node, facts: PRINT(node, [links.get(node), node.target]) }
    else if (node.type === 'file') yield { path, key: node, facts: PRINT(node, [links.get(node), node.size, contentFacts(node)]) }
    else yield { path, key: node, facts: PRINT(node, [links.get(node), node.device]) }
  }
}

/** Where the content is; of content in the image, that it is there. */
function contentFacts({ size, content }: ErofsFile): unknown {
  if (content instanceof Uint8Array) return size === 0 ? [] : 'own'
  return joined(content)
}

function joined(content: Iterable<ErofsExtent>): unknown {
  const pieces: number[][] = []
  for (const { offset, size, device, position } of content) {
    const last = pieces.at(-1)
    if (last !== undefined && last[2] === device && offset === last[0]! + last[1]! && position === last[3]! + last[1]!) last[1]! += size
    else pieces.push([offset, size, device, position])
  }
  return pieces
}

function* imageNames(image: ErofsImage, limit: number): Generator<Named> {
  const pending: { readonly path: string; readonly nid: number }[] = [{ path: '', nid: image.root }]
  let count = 0
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { path, nid } = next
    count += 1
    // What is damaged may be a directory in itself.
    if (count > limit) throw new StrataError('dataLoss', 'STRATA_EROFS_DAMAGED', 'Cannot read the tree: it does not end')
    const inode = image.inode(nid)
    if (inode.type === 'directory') {
      for (const { name, nid: child } of image.entries(inode)) {
        if (Number.isFinite(limit)) image.lookup(inode, name)
        pending.push({ path: `${path}/${name}`, nid: child })
      }
      yield { path, key: nid, facts: PRINT(inode, [inode.links]) }
    } else if (inode.type === 'symlink') yield { path, key: nid, facts: PRINT(inode, [inode.links, image.target(inode)]) }
    else if (inode.type === 'file') {
      const content = [...image.extents(inode)]
      yield {
        path,
        key: nid,
        facts: PRINT(inode, [inode.links, inode.size, content.some(({ device }) => device === -1) ? 'own' : joined(content)]),
      }
    } else yield { path, key: nid, facts: PRINT(inode, [inode.links, inode.device]) }
  }
}
