import { type ErofsDevice, type ErofsDirectory, writeErofs } from '../erofs/index.ts'

/**
 * The root of a layer in its image. It is not the root of the image, so that it is not there on a mount point where
 * nothing is mounted, and nobody takes that for an empty layer.
 */
export const IMAGE_ROOT = 'fs'

const ABOVE_ROOT = { mode: 0o755, uid: 0, gid: 0, modifiedAt: { seconds: 0, nanoseconds: 0 }, xattrs: new Map<string, Uint8Array>() }

/** The EROFS image of a layer's tree. */
export function imageBytes(layer: ErofsDirectory, devices: readonly ErofsDevice[]): Buffer {
  return writeErofs({ ...ABOVE_ROOT, type: 'directory', children: new Map([[IMAGE_ROOT, layer]]) }, devices)
}
