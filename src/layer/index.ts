export type { Change } from './change.ts'
export type { Attributes, DeviceNumber, LayerEntry, LayerIndex, LayerNode, NodeType, SparseExtent, Whiteout } from './entry.ts'
export type { ByteRange, ReadableTree, TreeNode } from './tree.ts'
