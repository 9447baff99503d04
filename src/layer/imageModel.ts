import { canHoldXattr, type ErofsDirectory, type ErofsExtent, type ErofsNode } from '../erofs/index.ts'
import type { Attributes, DeviceNumber, LayerIndex, LayerNode, NodeType } from './entry.ts'
import { splitLast } from './lowerStack.ts'
import type { TreeNode } from './tree.ts'
import { OPAQUE_VALUE, OPAQUE_XATTR, WHITEOUT_DEVICE } from './whiteout.ts'

/** A directory of a layer that is to become an image in overlayfs' own form. */
export class ImageDirectory implements ErofsDirectory {
  readonly type = 'directory'
  readonly children: Map<string, ErofsNode> = new Map()
  mode: number
  uid: number
  gid: number
  modifiedAt: Attributes['modifiedAt']
  xattrs: Attributes['xattrs']
  opaque: boolean
  /** A directory that the tar only implies. */
  readonly changeable: boolean

  constructor(attributes: Attributes & { readonly implied?: boolean }, opaque: boolean) {
    this.changeable = attributes.implied === true
    this.mode = attributes.mode
    this.uid = attributes.uid
    this.gid = attributes.gid
    this.modifiedAt = attributes.modifiedAt
    this.xattrs = keptXattrs('directory', attributes.xattrs)
    this.opaque = opaque
    if (opaque) this.hide()
  }

  /** Hides what the layers below have in it. */
  hide(): void {
    this.opaque = true
    this.xattrs = new Map([...this.xattrs, [OPAQUE_XATTR, OPAQUE_VALUE]])
  }

  /** Takes over the attributes of a directory below. */
  inherit({ mode, uid, gid, modifiedAt, xattrs }: Attributes): void {
    this.mode = mode
    this.uid = uid
    this.gid = gid
    this.modifiedAt = modifiedAt
    this.xattrs = keptXattrs('directory', xattrs)
    if (this.opaque) this.hide()
  }
}

/** All whiteouts are one inode: overlayfs shows none of them. */
export const WHITEOUT: ErofsNode = {
  type: 'character',
  device: WHITEOUT_DEVICE,
  mode: 0,
  uid: 0,
  gid: 0,
  modifiedAt: { seconds: 0, nanoseconds: 0 },
  xattrs: new Map(),
}

/** A tar may say anything; on Linux every symlink has this mode. symlink(7) */
const SYMLINK_MODE = 0o777

/** What a layer's index says, as a tree, and what of it depends on the layers below. */
export interface ImageModel {
  readonly root: ImageDirectory
  /** Directories that take the attributes of the one below. */
  readonly implied: readonly string[]
  /** Directories with whiteouts in them. */
  readonly hiding: ReadonlySet<string>
  /** Hard links to files below, which are not in the tree yet: [name, target]. */
  readonly links: readonly (readonly [string, string])[]
  readonly opaqueRoot: boolean
}

/** @param place where the content of a file lies */
export function readImageModel(index: LayerIndex, place: (node: LayerNode) => readonly ErofsExtent[]): ImageModel {
  const implied: string[] = []
  const hiding = new Set<string>()
  const links: [string, string][] = []
  let opaqueRoot = false
  let root: ImageDirectory | undefined
  const above: { readonly path: string; readonly directory: ImageDirectory }[] = []
  for (const entry of index.entries()) {
    const { path } = entry
    const slash = path.lastIndexOf('/')
    const parentPath = slash === -1 ? '' : path.slice(0, slash)
    const name = path.slice(slash + 1)
    if (path !== '') while (above.at(-1)!.path !== parentPath) above.pop()
    const parent = above.at(-1)?.directory
    if (entry.type === 'whiteout') {
      hiding.add(parentPath)
      parent!.children.set(name, WHITEOUT)
    } else if (entry.type === 'directory') {
      if (entry.implied === true) implied.push(path)
      if (parent === undefined) opaqueRoot = entry.opaque === true
      const directory = new ImageDirectory(entry, parent !== undefined && entry.opaque === true)
      root ??= directory
      parent?.children.set(name, directory)
      above.push({ path, directory })
    } else if (entry.linkOf === undefined) parent!.children.set(name, imageNode(entry, place))
    else {
      const first = findNode(root!, entry.linkOf)
      if (first === undefined || first === WHITEOUT) links.push([path, entry.linkOf])
      else parent!.children.set(name, first)
    }
  }
  return { root: root!, implied, hiding, links, opaqueRoot }
}

/** What has exactly this path. */
export function findNode(root: ImageDirectory, path: string): ErofsNode | undefined {
  let at: ErofsNode = root
  if (path === '') return at
  for (const name of path.split('/')) {
    const next: ErofsNode | undefined = at instanceof ImageDirectory ? at.children.get(name) : undefined
    if (next === undefined) return undefined
    at = next
  }
  return at
}

/** The directory in which a path is, which is there. */
export function parentDirectory(root: ImageDirectory, path: string): { readonly directory: ImageDirectory; readonly name: string } {
  const { directory, name } = splitLast(path)
  return { directory: findNode(root, directory) as ImageDirectory, name }
}

function imageNode(entry: LayerNode, place: (node: LayerNode) => readonly ErofsExtent[]): ErofsNode {
  return nodeOf(entry, entry.size === 0 ? [] : place(entry))
}

/** A node with the attributes of one of a tree; `content` is for files. */
export function nodeOf(
  from: Attributes & {
    readonly type: TreeNode['type']
    readonly size: number
    readonly linkTarget?: string | undefined
    readonly device?: DeviceNumber | undefined
  },
  content: readonly ErofsExtent[],
): ErofsNode {
  const { type, mode, uid, gid, modifiedAt } = from
  const xattrs = keptXattrs(type, from.xattrs)
  if (type === 'file') return { type, mode, uid, gid, modifiedAt, xattrs, size: from.size, content }
  const attributes = { mode, uid, gid, modifiedAt, xattrs }
  if (type === 'directory') return new ImageDirectory(attributes, false)
  if (type === 'symlink') return { ...attributes, type, mode: SYMLINK_MODE, target: from.linkTarget! }
  return from.device === undefined ? { ...attributes, type } : { ...attributes, type, device: from.device }
}

/** What the kernel would not set on a disk or would not show is left out. xattr(7) */
export function keptXattrs(type: NodeType | 'socket', xattrs: Attributes['xattrs']): Attributes['xattrs'] {
  if (xattrs.size === 0) return xattrs
  const kept = [...xattrs].filter(([name, value]) => {
    if (!canHoldXattr(name, value)) return false
    if (name.startsWith('user.')) return type === 'file' || type === 'directory'
    return type !== 'symlink' || !name.startsWith('system.')
  })
  return kept.length === xattrs.size ? xattrs : new Map(kept)
}
