import { EXTENDED, FILE_TYPES, INODE, NID_BYTES } from './format.ts'
import type { ErofsAttributes } from './node.ts'
import type { ErofsInode } from './readImage.ts'

/** Bytes of an image that become others. */
export interface ErofsChange {
  readonly position: number
  readonly bytes: Uint8Array
}

/** What gives a changeable inode another mode, owner and time; xattrs stay as they are. */
export function attributeChanges(inode: ErofsInode, attributes: Omit<ErofsAttributes, 'xattrs'>): readonly ErofsChange[] {
  const bits = FILE_TYPES.find(([type]) => type === inode.type)![1]
  const mode = Buffer.alloc(2)
  mode.writeUInt16LE(bits | (attributes.mode & 0o7777))
  const rest = Buffer.alloc(EXTENDED.links - EXTENDED.uid)
  rest.writeUInt32LE(attributes.uid, 0)
  rest.writeUInt32LE(attributes.gid, EXTENDED.gid - EXTENDED.uid)
  rest.writeBigInt64LE(BigInt(attributes.modifiedAt.seconds), EXTENDED.seconds - EXTENDED.uid)
  rest.writeUInt32LE(attributes.modifiedAt.nanoseconds, EXTENDED.nanoseconds - EXTENDED.uid)
  const at = inode.nid * NID_BYTES
  return [
    { position: at + INODE.mode, bytes: mode },
    { position: at + EXTENDED.uid, bytes: rest },
  ]
}
