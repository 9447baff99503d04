export { attributeChanges, type ErofsChange } from './changeInode.ts'
export { canHoldExtents } from './fileMap.ts'
export type {
  ErofsAttributes,
  ErofsChildren,
  ErofsDevice,
  ErofsDirectory,
  ErofsExtent,
  ErofsFile,
  ErofsNode,
  ErofsSpecial,
  ErofsSymlink,
  ErofsTime,
} from './node.ts'
export { openErofs, type ErofsImage, type ErofsInode, type ErofsSource } from './readImage.ts'
export { writeErofs } from './writeImage.ts'
export { canHoldXattr } from './xattrTable.ts'
