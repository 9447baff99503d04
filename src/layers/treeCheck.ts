import {
  isOverlayXattr,
  isWhiteoutDevice,
  type LayerEntry,
  type LayerIndex,
  type LayerNode,
  type ReadableTree,
  type TreeNode,
} from '../layer/index.ts'

/**
 * Where an extracted tree is not what its layer says: names that are missing or should not be there, and
 * attributes. Contents are not read: the exact tar proves them, and of everything else only what it has from headers.
 */
export async function* treeFaults(index: LayerIndex, tree: ReadableTree): AsyncGenerator<string, void> {
  for (const entry of index.entries()) {
    const fault = faultOf(entry, await tree.lstat(entry.path), index)
    if (fault !== undefined) yield `"${entry.path === '' ? '/' : entry.path}" ${fault}`
  }
}

function faultOf(entry: LayerEntry, node: TreeNode | undefined, index: LayerIndex): string | undefined {
  // A driver has a device for it, or has taken the name away.
  if (entry.type === 'whiteout') return node === undefined || isWhiteoutDevice(node) ? undefined : 'is there and should not be'
  if (node === undefined) return 'is missing'
  if (node.type !== entry.type) return `is a ${node.type} and should be a ${entry.type}`
  // What such names show, the layers below decide.
  if (entry.implied === true || (entry.linkOf !== undefined && index.get(entry.linkOf) === undefined)) return undefined
  const different = DIFFERENCES.find(({ differs }) => differs(entry, node))
  return different === undefined ? undefined : `has another ${different.what}`
}

const DIFFERENCES: readonly { readonly what: string; readonly differs: (entry: LayerNode, node: TreeNode) => boolean }[] = [
  { what: 'size', differs: (entry, node) => entry.size !== node.size },
  { what: 'mode', differs: (entry, node) => entry.type !== 'symlink' && entry.mode !== node.mode },
  { what: 'owner', differs: (entry, node) => entry.uid !== node.uid || entry.gid !== node.gid },
  { what: 'link target', differs: (entry, node) => entry.linkTarget !== node.linkTarget },
  {
    what: 'device number',
    differs: ({ device }, node) => device !== undefined && (device.major !== node.device?.major || device.minor !== node.device.minor),
  },
  {
    what: 'time',
    // That of the root belongs to no layer.
    differs: (entry, node) =>
      entry.path !== '' &&
      (entry.modifiedAt.seconds !== node.modifiedAt.seconds || entry.modifiedAt.nanoseconds !== node.modifiedAt.nanoseconds),
  },
  {
    // One that the file system refused is missing from the beginning; one that is there must be right.
    what: 'xattr',
    differs: (entry, node) =>
      [...entry.xattrs].some(
        ([name, value]) => !isOverlayXattr(name) && node.xattrs.has(name) && Buffer.compare(node.xattrs.get(name)!, value) !== 0,
      ),
  },
]
