import { errnoOf } from '../base/index.ts'
import {
  chmodAt,
  chmodFd,
  chownAt,
  chownFd,
  readXattrsAt,
  removeXattrAt,
  setTimesAt,
  setTimesFd,
  setXattrAt,
  setXattrFd,
} from '../host/index.ts'
import type { Attributes, NodeType } from './entry.ts'

/*
 * The order matters everywhere here: a change of the owner clears setuid, setgid and file capabilities,
 * so mode and xattrs come after it; everything that changes a file sets its time, so times come last.
 */

/** What something has from when it was made, so that it need not be set. */
export interface MadeWith {
  readonly uid: number
  readonly gid: number
  /** Permission bits; absent where they are not known. */
  readonly mode?: number
}

/** Gives an open file or directory its attributes; returns how many xattrs the file system refused. */
export function setAttributesFd(fd: number, wanted: Attributes, made?: MadeWith): number {
  if (!isOwner(made, wanted)) chownFd(fd, wanted.uid, wanted.gid)
  if (made?.mode !== wanted.mode) chmodFd(fd, wanted.mode)
  let refused = 0
  if (wanted.xattrs.size > 0) {
    for (const [key, value] of wanted.xattrs) refused += tryXattr(() => setXattrFd(fd, key, value))
  }
  setTimesFd(fd, { accessedAt: wanted.modifiedAt, modifiedAt: wanted.modifiedAt })
  return refused
}

/** The same for a name in an open directory, a symlink itself included. */
export function setAttributesAt(
  directory: number,
  name: string,
  wanted: Attributes & { readonly type: NodeType | 'socket' },
  made?: MadeWith,
): number {
  if (!isOwner(made, wanted)) chownAt(directory, name, wanted.uid, wanted.gid)
  if (wanted.type !== 'symlink') chmodAt(directory, name, wanted.mode)
  let refused = 0
  for (const [key, value] of wanted.xattrs) refused += tryXattr(() => setXattrAt(directory, name, { key, value }))
  setTimesAt(directory, name, { accessedAt: wanted.modifiedAt, modifiedAt: wanted.modifiedAt })
  return refused
}

function isOwner(made: MadeWith | undefined, { uid, gid }: Attributes): boolean {
  return made !== undefined && made.uid === uid && made.gid === gid
}

/** Removes the xattrs that are not wanted; those of the kernel's own (`security.selinux`, …) may refuse and stay. */
export function removeOtherXattrs(directory: number, name: string, wanted: ReadonlyMap<string, unknown>): void {
  for (const key of readXattrsAt(directory, name).keys()) {
    if (!wanted.has(key)) tryXattr(() => removeXattrAt(directory, name, key))
  }
}

/** File systems differ in what xattrs they can have, and a user namespace may not set all: 1 for one that is refused. */
function tryXattr(set: () => void): 0 | 1 {
  try {
    set()
    return 0
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'ENOTSUP' || errno === 'EOPNOTSUPP' || errno === 'EPERM' || errno === 'ENODATA') return 1
    throw error
  }
}
