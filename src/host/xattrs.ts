import { decodeFileName } from '../base/index.ts'
import { CURRENT_DIRECTORY } from './descriptors.ts'
import { callError, kernelName, type KernelName, lastErrno, libc } from './libc.ts'

/*
 * Extended attributes by directory and name never follow a link at the name. Where they are asked
 * for by name, the kernel's l-calls get "/proc/self/fd/<directory>/<name>": one call, and the same
 * file as the *At calls reach. Keys carry their namespace: "user.x", "security.capability".
 */

/** The value of one attribute, or undefined where the file does not have it or its file system has none at all. */
export function getXattrAt(directory: number, name: string, key: string): Buffer | undefined {
  const path = pathOf(directory, name)
  const wanted = kernelName(key)
  return readValue(key, name, (buffer, length) => libc().lgetxattr(path, wanted, buffer, length))
}

/** Sets an attribute, replacing its value. */
export function setXattrAt(directory: number, name: string, entry: { readonly key: string; readonly value: Uint8Array }): void {
  if (libc().lsetxattr(pathOf(directory, name), kernelName(entry.key), entry.value, entry.value.byteLength, 0) < 0) {
    throw callError(lastErrno(), 'lsetxattr', name, entry.key)
  }
}

/** Removes an attribute; ENODATA where there is none. */
export function removeXattrAt(directory: number, name: string, key: string): void {
  if (libc().lremovexattr(pathOf(directory, name), kernelName(key)) < 0) throw callError(lastErrno(), 'lremovexattr', name, key)
}

/**
 * All attributes with their values, sorted by key as the kernel lists them; empty where the file system has none.
 *
 * @param wanted which ones, by key; to ask for a value costs as much as to ask for the list
 */
export function readXattrsAt(directory: number, name: string, wanted?: (key: string) => boolean): Map<string, Buffer> {
  const path = pathOf(directory, name)
  const keys = listKeys(name, (buffer, length) => libc().llistxattr(path, buffer, length))
  return collect(wanted === undefined ? keys : keys.filter(wanted), key => getXattrAt(directory, name, key))
}

/** As `getXattrAt`, of an open file (not one opened with O_PATH). */
export function getXattrFd(fd: number, key: string): Buffer | undefined {
  const wanted = kernelName(key)
  return readValue(key, undefined, (buffer, length) => libc().fgetxattr(fd, wanted, buffer, length))
}

/** As `setXattrAt`, of an open file (not one opened with O_PATH). */
export function setXattrFd(fd: number, key: string, value: Uint8Array): void {
  if (libc().fsetxattr(fd, kernelName(key), value, value.byteLength, 0) < 0) throw callError(lastErrno(), 'fsetxattr', key)
}

/** As `readXattrsAt`, of an open file (not one opened with O_PATH). */
export function readXattrsFd(fd: number): Map<string, Buffer> {
  const keys = listKeys(undefined, (buffer, length) => libc().flistxattr(fd, buffer, length))
  return collect(keys, key => getXattrFd(fd, key))
}

function pathOf(directory: number, name: string): KernelName {
  return kernelName(directory === CURRENT_DIRECTORY || name.startsWith('/') ? name : `/proc/self/fd/${directory}/${name}`)
}

/** Large enough for what images carry; the kernel's limit is 64 KiB for a value and for a list. */
const small = Buffer.alloc(1024)

type Fill = (buffer: Buffer, length: number) => number

function readValue(key: string, name: string | undefined, fill: Fill): Buffer | undefined {
  const value = readGrowing(fill)
  if (typeof value !== 'string') return value
  if (value === 'ENODATA' || value === 'ENOTSUP') return undefined
  throw callError(value, 'getxattr', name ?? key)
}

function listKeys(name: string | undefined, fill: Fill): string[] {
  const list = readGrowing(fill)
  if (typeof list === 'string') {
    if (list === 'ENOTSUP') return []
    throw callError(list, 'listxattr', name)
  }
  const keys: string[] = []
  for (let at = 0; at < list.length;) {
    const end = list.indexOf(0, at)
    keys.push(decodeFileName(list.subarray(at, end)))
    at = end + 1
  }
  return keys
}

/** Fills a small buffer first, then one of the full size; returns a copy, or the errno name. */
function readGrowing(fill: Fill): Buffer | string {
  const count = fill(small, small.length)
  if (count >= 0) return Buffer.from(small.subarray(0, count))
  const code = lastErrno()
  if (code !== 'ERANGE') return code
  const large = Buffer.alloc(64 * 1024)
  const whole = fill(large, large.length)
  return whole < 0 ? lastErrno() : large.subarray(0, whole)
}

/** An attribute that goes away between the list and the read is one that the file does not have. */
function collect(keys: readonly string[], get: (key: string) => Buffer | undefined): Map<string, Buffer> {
  const found = new Map<string, Buffer>()
  for (const key of keys) {
    const value = get(key)
    if (value !== undefined) found.set(key, value)
  }
  return found
}
