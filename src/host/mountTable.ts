import { readFileSync } from 'node:fs'
import { decodeFileName } from '../base/index.ts'
import { CURRENT_DIRECTORY } from './descriptors.ts'
import { statAt } from './stat.ts'

/** One mount of this process's mount namespace. proc_pid_mountinfo(5) */
export interface MountPoint {
  readonly id: number
  readonly parentId: number
  /** `major:minor` of the file system. */
  readonly device: string
  /** The directory of the file system that is the root of this mount. */
  readonly root: string
  /** Where it is mounted. */
  readonly target: string
  /** Of the mount itself: `rw`, `nosuid`, `relatime`, … */
  readonly options: readonly string[]
  /** `shared:1`, `master:2`, `unbindable`, … */
  readonly propagation: readonly string[]
  readonly type: string
  readonly source: string
  /** Of the file system. */
  readonly superOptions: readonly string[]
}

/** Parses the text of /proc/<pid>/mountinfo, in its order; lines that are not whole are left out. */
export function parseMountTable(text: Uint8Array): MountPoint[] {
  const points: MountPoint[] = []
  for (const line of Buffer.from(text).toString('latin1').split('\n')) {
    const fields = line.split(' ')
    const dash = fields.indexOf('-', 6)
    if (dash === -1) continue
    const [id = '', parentId = '', device = '', root = '', target = '', options = ''] = fields
    const [type = '', source = '', superOptions = ''] = fields.slice(dash + 1)
    points.push({
      id: Number(id),
      parentId: Number(parentId),
      device,
      root: unescape(root),
      target: unescape(target),
      options: options.split(','),
      propagation: fields.slice(6, dash),
      type: unescape(type),
      source: unescape(source),
      superOptions: unescape(superOptions).split(','),
    })
  }
  return points
}

/** ASCII without a backslash: nearly every field. */
const PLAIN = /^[\x20-\x5b\x5d-\x7e]*$/

/** Space, tab, newline, backslash and hash are octal: `\040`. */
function unescape(field: string): string {
  if (PLAIN.test(field)) return field
  const bytes = field.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
  return decodeFileName(Buffer.from(bytes, 'latin1'))
}

function mountTable(): MountPoint[] {
  // A thread may have a mount namespace of its own.
  return parseMountTable(readFileSync('/proc/thread-self/mountinfo'))
}

/**
 * The mounts at `path` and below it, in the order in which they were made: take them away in reverse.
 *
 * @param path absolute, without links, `..` or a slash at its end
 */
export function mountsBelow(path: string): MountPoint[] {
  const prefix = path === '/' ? '/' : `${path}/`
  return mountTable().filter(({ target }) => target === path || target.startsWith(prefix))
}

/** Whether `path` is the root of a mount; false where it does not exist. A link at `path` is not followed. */
export function isMountPoint(path: string): boolean {
  try {
    return statAt(CURRENT_DIRECTORY, path).mountRoot
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return false
    throw error
  }
}
