import { encodeFileName } from '../base/index.ts'
import { isOverlayXattr, type TreeNode } from '../layer/index.ts'
import { fileError } from './fileError.ts'

/*
 * What the kernel checks of a call's arguments, whatever the file system.
 */

/** Linux's NAME_MAX and PATH_MAX, without the final NUL. */
const NAME_BYTES = 255
const PATH_BYTES = 4095
/** XATTR_NAME_MAX and XATTR_SIZE_MAX. xattr(7) */
const XATTR_NAME_BYTES = 255
const XATTR_BYTES = 65_536
const NAMESPACES = /^(?:user|trusted|security|system)\../s

/** @throws EINVAL for names that are none (empty, `.`, `..`, with NUL), ENAMETOOLONG */
export function checkNames(syscall: string, path: string): void {
  if (encodeFileName(path).length > PATH_BYTES) throw fileError('ENAMETOOLONG', syscall, path)
  for (const name of path.split('/')) {
    if (name === '' || name === '.' || name === '..' || name.includes('\0')) throw fileError('EINVAL', syscall, path)
    if (encodeFileName(name).length > NAME_BYTES) throw fileError('ENAMETOOLONG', syscall, path)
  }
}

/** @throws EISDIR, ELOOP or EINVAL for what has no content, EINVAL and EFBIG for places that no file has */
export function checkContent(
  syscall: string,
  path: string,
  { type, position, end }: { readonly type: TreeNode['type']; readonly position: number; readonly end: number },
): void {
  if (type === 'directory') throw fileError('EISDIR', syscall, path)
  if (type === 'symlink') throw fileError('ELOOP', syscall, path)
  if (type !== 'file' || !Number.isInteger(position) || position < 0) throw fileError('EINVAL', syscall, path)
  if (!Number.isSafeInteger(end)) throw fileError('EFBIG', syscall, path)
}

/** Tells whether a disk could have an xattr with such a name. xattr(7) */
export function isKnownNamespace(key: string): boolean {
  return NAMESPACES.test(key)
}

/** @throws ENOTSUP, ERANGE or E2BIG for keys and values that no file can have, EPERM where this type of file cannot have it */
export function checkXattr(
  syscall: string,
  path: string,
  { key, value, type }: { readonly key: string; readonly value?: Uint8Array; readonly type: TreeNode['type'] },
): void {
  if (!isKnownNamespace(key) || isOverlayXattr(key)) throw fileError('ENOTSUP', syscall, path)
  if (key.includes('\0') || encodeFileName(key).length > XATTR_NAME_BYTES) throw fileError('ERANGE', syscall, path)
  if (value !== undefined && value.length > XATTR_BYTES) throw fileError('E2BIG', syscall, path)
  if (key.startsWith('user.') && type !== 'file' && type !== 'directory') throw fileError('EPERM', syscall, path)
}
