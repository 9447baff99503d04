import { CURRENT_DIRECTORY } from './descriptors.ts'
import { kernelName, lastError, libc } from './libc.ts'

const MOVE_MOUNT_F_EMPTY_PATH = 0x04
const MOVE_MOUNT_T_SYMLINKS = 0x10

/** Puts a mount that was made aside at its place. */
export function attach(tree: number, target: string, source: string): void {
  const flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS
  if (libc().move_mount(tree, '', CURRENT_DIRECTORY, kernelName(target), flags) < 0) throw lastError('move_mount', source, target)
}
