/*
 * The bytes of an EROFS image, all numbers little-endian. Linux Documentation/filesystems/erofs.rst and
 * the structures of fs/erofs/erofs_fs.h; only what is written here, which is uncompressed.
 *
 *   0       nothing
 *   1024    super block
 *   1152    device table, a slot for each file that holds data
 *   …       inodes, the root first, each with its xattrs and what else stands beside it (inline data, chunk indexes), on multiples of 32 bytes
 *   …       whole blocks: directories, long symlinks, contents that no device has
 *   …       shared xattrs, from a block's begin
 *
 * An inode is named by its nid, its place in units of 32 bytes. Addresses of whole files go on from one device to
 * the next: the image's own blocks come first, then those of each device from the address in its slot.
 */

/** The smallest block that the kernel takes; the payload of a tar entry begins on a multiple of it. */
export const BLOCK_BITS = 9
export const BLOCK_BYTES = 512

export const SUPER_OFFSET = 1024
export const SUPER_MAGIC = 0xe0f5_e1e2
/** struct erofs_super_block */
export const SUPER = {
  magic: 0,
  checksum: 4,
  featureCompat: 8,
  blockBits: 12,
  rootNid: 14,
  inodes: 16,
  buildTime: 24,
  buildNanoseconds: 32,
  blocks: 36,
  metaBlock: 40,
  xattrBlock: 44,
  uuid: 48,
  featureIncompat: 80,
  extraDevices: 86,
  deviceSlot: 88,
  directoryBlockBits: 90,
  xattrPrefixes: 91,
} as const
export const SUPER_BYTES = 128

export const COMPAT_CHECKSUM = 1
export const COMPAT_MTIME = 2
export const INCOMPAT_CHUNKED_FILE = 4
export const INCOMPAT_DEVICE_TABLE = 8

/** struct erofs_deviceslot */
export const DEVICE = { tag: 0, blocks: 64, address: 68 } as const
export const DEVICE_BYTES = 128
export const TAG_BYTES = 64

export const NID_BYTES = 32
/** struct erofs_inode_compact and erofs_inode_extended: what both have in the same place. */
export const INODE = { format: 0, xattrCount: 2, mode: 4, size: 8, address: 16, number: 20 } as const
export const COMPACT = { links: 6, uid: 24, gid: 26 } as const
export const COMPACT_BYTES = 32
export const EXTENDED = { uid: 24, gid: 28, seconds: 32, nanoseconds: 40, links: 44 } as const
export const EXTENDED_BYTES = 64

/** Where the data of an inode is. */
export const FLAT_PLAIN = 0
export const FLAT_INLINE = 2
export const CHUNK_BASED = 4

export const CHUNK_BITS_MASK = 0x1f
/** Entries of 8 bytes that name a device, instead of addresses of 4 bytes. */
export const CHUNK_INDEXES = 0x20
/** struct erofs_inode_chunk_index; the device counts from 1, 0 is the image. */
export const CHUNK_INDEX = { device: 2, address: 4 } as const
export const CHUNK_INDEX_BYTES = 8
/** The address of a chunk of zeros. */
export const HOLE = 0xffff_ffff

export const XATTR_HEADER = { sharedCount: 4 } as const
export const XATTR_HEADER_BYTES = 12
export const XATTR_ENTRY_BYTES = 4
/** e_name_index, and the beginning of names that it stands for. */
export const XATTR_PREFIXES: readonly (readonly [index: number, prefix: string])[] = [
  [1, 'user.'],
  [2, 'system.posix_acl_access'],
  [3, 'system.posix_acl_default'],
  [4, 'trusted.'],
  [6, 'security.'],
]

export const DIRENT = { nid: 0, nameAt: 8, type: 10 } as const
export const DIRENT_BYTES = 12
export const NAME_BYTES = 255
export const TARGET_BYTES = 4095

/** The type of a directory entry is the position here (FT_REG_FILE and so on), and its bits of st_mode. */
export const FILE_TYPES = [
  ['file', 0o100000, 1],
  ['directory', 0o040000, 2],
  ['character', 0o020000, 3],
  ['block', 0o060000, 4],
  ['fifo', 0o010000, 5],
  ['socket', 0o140000, 6],
  ['symlink', 0o120000, 7],
] as const
