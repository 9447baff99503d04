import { StrataError } from '../base/index.ts'
import type { DeviceNumber } from './entry.ts'

/*
 * The one place that knows how a hidden name is written down: as `.wh.` names in layer tars (image-spec
 * layer.md), as 0:0 character devices and xattrs in overlayfs directories (kernel, overlayfs.rst).
 */

/** Marks a deletion: `.wh.name` hides `name` in every lower layer. image-spec layer.md#whiteouts */
const WHITEOUT_PREFIX = '.wh.'
/** Hides all siblings from lower layers. image-spec layer.md#opaque-whiteout */
const OPAQUE_MARKER = '.wh..wh..opq'
/** AUFS's own files (`.wh..wh.plnk`, `.wh..wh.aufs`, `.wh..wh.orph`), which old engines packed by accident. */
const AUFS_PREFIX = '.wh..wh.'

/** What a name in a layer tar says. */
export type NameMeaning = { readonly says: 'node' | 'opaque' | 'ignored' } | { readonly says: 'whiteout'; readonly hides: string }

const NODE: NameMeaning = { says: 'node' }
const OPAQUE: NameMeaning = { says: 'opaque' }
const IGNORED: NameMeaning = { says: 'ignored' }

/**
 * Reads the last component of a path of a layer tar.
 *
 * @throws StrataError STRATA_WHITEOUT_INVALID for a whiteout of nothing, of `.` or of `..`
 */
export function nameMeaning(name: string): NameMeaning {
  if (!name.startsWith(WHITEOUT_PREFIX)) return NODE
  if (name === OPAQUE_MARKER) return OPAQUE
  if (name.startsWith(AUFS_PREFIX)) return IGNORED
  const hides = name.slice(WHITEOUT_PREFIX.length)
  if (hides === '' || hides === '.' || hides === '..') {
    throw new StrataError('invalidArgument', 'STRATA_WHITEOUT_INVALID', `Cannot apply whiteout ${JSON.stringify(name)}: it hides no name`)
  }
  return { says: 'whiteout', hides }
}

/** Tells whether a name belongs to the language of whiteouts, so that no file of a layer can have it. */
export function isReservedName(name: string): boolean {
  return name.startsWith(WHITEOUT_PREFIX)
}

/** The name that hides `name` in a layer tar. */
export function whiteoutName(name: string): string {
  return WHITEOUT_PREFIX + name
}

/** The device number of overlayfs's whiteouts. kernel overlayfs.rst, "whiteouts and opaque directories" */
export const WHITEOUT_DEVICE: DeviceNumber = { major: 0, minor: 0 }

/** Tells whether a node of an overlayfs directory is a whiteout. */
export function isWhiteoutDevice(node: { readonly type: string; readonly device?: DeviceNumber }): boolean {
  return node.type === 'character' && node.device?.major === 0 && node.device.minor === 0
}

/** The xattr of an opaque directory, and the value that says so. kernel overlayfs.rst */
export const OPAQUE_XATTR = 'trusted.overlay.opaque'
export const OPAQUE_VALUE: Uint8Array = Buffer.from('y')

/** Tells whether overlayfs would read meaning into an xattr: such ones are never taken from a layer nor put into one. */
export function isOverlayXattr(name: string): boolean {
  return name.startsWith('trusted.overlay.') || name.startsWith('user.overlay.')
}
