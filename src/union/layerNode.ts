import type { LayerIndex, LayerNode } from '../layer/index.ts'
import type { BranchNode } from './branch.ts'

/** A node of a layer as a branch shows it, with one name. */
export function layerNode(index: LayerIndex, entry: LayerNode): BranchNode {
  const { type, mode, uid, gid, modifiedAt, xattrs, size, linkTarget, device, implied, opaque } = entry
  return {
    type,
    mode,
    uid,
    gid,
    modifiedAt,
    xattrs,
    size,
    ...(linkTarget === undefined ? {} : { linkTarget }),
    ...(device === undefined ? {} : { device }),
    ...(implied === undefined ? {} : { implied }),
    ...(opaque === undefined ? {} : { opaque }),
    inode: inodeOf(index, entry),
    links: 1,
  }
}

/** Names an inode: the layer, and the first name that it has there. */
export function inodeOf(index: LayerIndex, { path, linkOf }: LayerNode): string {
  return `${index.diffId}:${linkOf ?? path}`
}
