/*
 * The one door to what the kernel can do and Node cannot say: calls on entries of open directories,
 * exact times and names, extended attributes, mounts, confined resolution of paths, message sockets.
 * All calls are synchronous unless they say otherwise, throw errors of the shape of Node's own
 * (`code`, `errno`, `syscall`, `path`), work in worker threads, and make descriptors that no child
 * inherits. Names are strings of base's decodeFileName. Importing this loads no native code.
 */
export { openBeneath } from './beneath.ts'
export { ConfinedRoot } from './confinedRoot.ts'
export { copyFile } from './copyFile.ts'
export {
  close,
  CURRENT_DIRECTORY,
  makePipe,
  O_PATH,
  openAt,
  openDirectoryAt,
  readInto,
  syncFileSystem,
  truncate,
  writeAll,
} from './descriptors.ts'
export { type DirectoryEntry, readDirectory } from './directories.ts'
export {
  chmodAt,
  chmodFd,
  chownAt,
  chownFd,
  linkAt,
  makeDirectoryAt,
  makeNodeAt,
  type NodeAttributes,
  readlinkAt,
  renameAt,
  type RenameMode,
  setTimesAt,
  setTimesFd,
  symlinkAt,
  unlinkAt,
} from './entries.ts'
export { type KernelFacts, kernelFacts } from './facts.ts'
export { isalInflater } from './isal.ts'
export { setLinkAddress } from './links.ts'
export { lockDirectory, lockFile, type LockKind, tryLockFile } from './locks.ts'
export { type Mount } from './mountOptions.ts'
export { mount, unmount } from './mounts.ts'
export { isMountPoint, type MountPoint, mountsBelow } from './mountTable.ts'
export { removeTree, removeTreeAt } from './removeTree.ts'
export { connectSeqpacket, type SeqpacketSocket } from './seqpacket.ts'
export { type DeviceNumber, type FileType, type Stat, statAt, statFd } from './stat.ts'
export type { Timestamp, Timestamps } from './timestamps.ts'
export { Writeback } from './writeback.ts'
export { getXattrAt, getXattrFd, readXattrsAt, readXattrsFd, removeXattrAt, setXattrAt, setXattrFd } from './xattrs.ts'
