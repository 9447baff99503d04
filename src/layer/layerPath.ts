import { encodeFileName, StrataError } from '../base/index.ts'

/** Linux's NAME_MAX, in bytes. */
const NAME_BYTES = 255
/** Linux's PATH_MAX without the final NUL: nobody could open a longer path of an image. */
const PATH_BYTES = 4095

/**
 * Splits a path of a layer tar into names. `.` and empty parts vanish and `..` removes the name before
 * it, as docker reads them; a path relative to the root and one with a leading slash are the same.
 *
 * @throws StrataError STRATA_PATH_ESCAPES_ROOT when `..` leads above the root, STRATA_PATH_INVALID for NUL bytes
 */
export function splitLayerPath(path: string, what = 'layer entry'): string[] {
  if (path.includes('\0')) throw invalidPath(what, path, 'it has a NUL byte')
  const names: string[] = []
  for (const name of path.split('/')) {
    if (name === '' || name === '.') continue
    if (name !== '..') names.push(name)
    else if (names.pop() === undefined) {
      throw new StrataError(
        'invalidArgument',
        'STRATA_PATH_ESCAPES_ROOT',
        `Cannot apply ${what} ${quotePath(path)}: it leads out of the root`,
      )
    }
  }
  return names
}

/** The parts of a symlink target, in order; `.` and empty parts vanish, `..` stays. */
export function splitLinkTarget(target: string): string[] {
  return target.split('/').filter(name => name !== '' && name !== '.')
}

/**
 * The length in bytes of a path that has `name` after a directory whose path has `parentBytes`.
 *
 * @throws StrataError STRATA_PATH_INVALID when the name or the whole is longer than Linux can have it
 */
export function childPathBytes(parentBytes: number, name: string): number {
  // byteLength counts an escaped byte as three, so a long result needs the exact look.
  let bytes = Buffer.byteLength(name)
  if (bytes > NAME_BYTES) {
    bytes = encodeFileName(name).length
    if (bytes > NAME_BYTES) throw invalidPath('layer entry', name, `a name has at most ${NAME_BYTES} bytes`)
  }
  const total = parentBytes === 0 ? bytes : parentBytes + 1 + bytes
  if (total > PATH_BYTES) throw invalidPath('layer entry', name, `its path has more than ${PATH_BYTES} bytes`)
  return total
}

/** A path for a message: quoted, and not longer than a line. */
export function quotePath(path: string): string {
  return JSON.stringify(path.length > 200 ? `${path.slice(0, 100)}…${path.slice(-90)}` : path)
}

function invalidPath(what: string, path: string, state: string): StrataError {
  return new StrataError('invalidArgument', 'STRATA_PATH_INVALID', `Cannot apply ${what} ${quotePath(path)}: ${state}`)
}
