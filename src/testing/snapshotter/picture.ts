import { createHash } from 'node:crypto'
import { readAtMost } from '../../base/index.ts'
import { type Change, directoryTree, isOverlayXattr, type ReadableTree, type TreeNode } from '../../layer/index.ts'
import type { Snapshotter } from '../../snapshot/index.ts'

/** What is compared of a tree: everything about every node, by path; hard links as the names that are one inode. */
export type Picture = Readonly<Record<string, string>>

/** What a state shows, read without a mount. */
export async function pictureOf(snapshots: Snapshotter, name: string): Promise<Picture> {
  return pictureOfTree(await snapshots.tree(name))
}

/** What a directory of the machine shows, such as a mounted state. */
export async function pictureOfDirectory(path: string): Promise<Picture> {
  return pictureOfTree(directoryTree(path))
}

/** What a tree shows; it is closed. */
export async function pictureOfTree(tree: ReadableTree): Promise<Picture> {
  return readAndClose(tree, describe)
}

/** Less than a picture: what a state's tests spell out. `directory`, `file <content>`, `symlink <target>`, … */
export async function shapeOf(snapshots: Snapshotter, name: string): Promise<Picture> {
  const shape = await readAndClose(await snapshots.tree(name), describeShape)
  return Object.fromEntries(Object.entries(shape).filter(([path]) => path !== ''))
}

/** The changes of a state as `docker diff` prints them. */
export async function changesOf(snapshots: Snapshotter, name: string): Promise<readonly string[]> {
  return (await Array.fromAsync(snapshots.changes(name))).map(changeLine)
}

function changeLine(change: Change): string {
  return `${{ add: 'A', modify: 'C', delete: 'D' }[change.kind]} /${change.path}`
}

type Describe = (tree: ReadableTree, path: string, node: TreeNode) => Promise<string>

async function readAndClose(tree: ReadableTree, describeNode: Describe): Promise<Picture> {
  const picture: Record<string, string> = {}
  const namesOf = new Map<string, string[]>()
  const pending = ['']
  try {
    for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
      const node = (await tree.lstat(path))!
      picture[path] = await describeNode(tree, path, node)
      if (node.type === 'directory') {
        for (const name of await tree.list(path)) pending.push(path === '' ? name : `${path}/${name}`)
      } else namesOf.set(node.inode, [...(namesOf.get(node.inode) ?? []), path])
    }
  } finally {
    await tree.close()
  }
  for (const names of namesOf.values()) {
    if (names.length > 1) for (const name of names) picture[name] += ` = ${names.toSorted().join(' = ')}`
  }
  return picture
}

async function describe(tree: ReadableTree, path: string, node: TreeNode): Promise<string> {
  const { type, mode, uid, gid, size, modifiedAt, xattrs } = node
  const kept = [...xattrs].filter(([name]) => !isOverlayXattr(name)).map(([name, value]) => `${name}=${Buffer.from(value).toString('hex')}`)
  const facts = [type, mode.toString(8), `${uid}:${gid}`, size, ...kept.toSorted()]
  // The time of the root belongs to no layer.
  if (path !== '') facts.push(`${modifiedAt.seconds}.${modifiedAt.nanoseconds}`)
  if (node.linkTarget !== undefined) facts.push(`-> ${node.linkTarget}`)
  if (node.device !== undefined) facts.push(`${node.device.major}:${node.device.minor}`)
  if (type === 'file') {
    const hash = createHash('sha256')
    for await (const chunk of tree.open(path)) hash.update(chunk)
    facts.push(hash.digest('hex'))
  }
  return facts.join(' ')
}

async function describeShape(tree: ReadableTree, path: string, node: TreeNode): Promise<string> {
  switch (node.type) {
    case 'file':
      return `file ${(await readAtMost(tree.open(path), 1000)).toString()}`.trimEnd()
    case 'symlink':
      return `symlink ${node.linkTarget}`
    case 'character':
    case 'block':
      return `${node.type} ${node.device!.major}:${node.device!.minor}`
    default:
      return node.type
  }
}
