import { constants } from 'node:fs'
import {
  close,
  copyFile,
  makeNodeAt,
  openAt,
  readlinkAt,
  readXattrsAt,
  setTimesAt,
  type Stat,
  statAt,
  symlinkAt,
  unlinkAt,
} from '../host/index.ts'
import { setAttributesAt } from './attributes.ts'

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } = constants

/**
 * Gives a name an inode of its own, as overlayfs does when it copies a file up: the other hard links
 * keep theirs. The directory's time stays.
 *
 * @param directory a descriptor, perhaps of O_PATH
 * @param stat of the name, which is no directory
 */
export function separateInode(directory: number, name: string, stat: Stat): void {
  const { modifiedAt } = statAt(directory, '.')
  const wanted = { ...stat, xattrs: readXattrsAt(directory, name) }
  if (stat.type === 'file') copyContent(directory, name)
  else if (stat.type === 'symlink') {
    const target = readlinkAt(directory, name)
    unlinkAt(directory, name)
    symlinkAt(target, directory, name)
  } else if (stat.type !== 'directory') {
    unlinkAt(directory, name)
    makeNodeAt(directory, name, stat.type, { mode: 0o600, device: stat.rdev })
  }
  setAttributesAt(directory, name, wanted)
  setTimesAt(directory, '.', { modifiedAt })
}

function copyContent(directory: number, name: string): void {
  const source = openAt(directory, name, O_RDONLY | O_NOFOLLOW)
  try {
    unlinkAt(directory, name)
    const copy = openAt(directory, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600)
    try {
      copyFile(source, copy)
    } finally {
      close(copy)
    }
  } finally {
    close(source)
  }
}
