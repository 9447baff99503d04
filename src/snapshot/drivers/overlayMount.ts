import { mkdir } from 'node:fs/promises'
import { errnoOf, StrataError } from '../../base/index.ts'
import type { Mount } from '../../host/index.ts'

/** What the kernel takes as lower layers of one mount (OVL_MAX_STACK, fs/overlayfs/params.h). */
export const MAX_LOWERS = 500

/**
 * What a container layer holds must be what it shows: with redirects or metadata-only copies (kernel
 * Documentation/filesystems/overlayfs.rst) an upper directory is no layer. The kernel's defaults for
 * these differ by configuration, so they are always said; `nofollow` also takes no redirect for one
 * that somebody else has left in a directory.
 */
const FEATURES_OFF: readonly string[] = ['redirect_dir=nofollow', 'metacopy=off']

/** Where an overlay writes to. */
export interface Writable {
  readonly upper: string
  /** Made where it is not there. */
  readonly work: string
}

/**
 * An overlay of directories, top first, read-only without a writable one.
 * Rejects with `unsupported` (STRATA_TOO_MANY_LAYERS) for more than the kernel takes.
 */
export async function overlayMount(lowers: readonly string[], writable?: Writable): Promise<Mount> {
  if (lowers.length > MAX_LOWERS) throw tooDeep(lowers.length)
  const lowerdir = `lowerdir=${lowers.map(escaped).join(':')}`
  if (writable === undefined) return { type: 'overlay', source: 'overlay', options: ['ro', lowerdir, ...FEATURES_OFF] }
  await makeIfAbsent(writable.work)
  return {
    type: 'overlay',
    source: 'overlay',
    options: [lowerdir, `upperdir=${escaped(writable.upper)}`, `workdir=${escaped(writable.work)}`, ...FEATURES_OFF, 'index=off'],
  }
}

/** A path in an option of overlayfs, which takes a colon for the end of a layer. overlayfs.rst */
function escaped(path: string): string {
  return path.replaceAll(/[\\:]/g, '\\$&')
}

async function makeIfAbsent(directory: string): Promise<void> {
  try {
    await mkdir(directory, { mode: 0o700 })
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error
  }
}

function tooDeep(layers: number): StrataError {
  return new StrataError(
    'unsupported',
    'STRATA_TOO_MANY_LAYERS',
    `Cannot mount a stack of ${layers} layers: overlayfs takes at most ${MAX_LOWERS}`,
    { hint: 'Use the storage driver vfs for this image.' },
  )
}
