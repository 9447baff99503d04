import { openHow, RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS } from './openHow.ts'

/**
 * Opens the file or directory at exactly this path below `directory`; `''` is the directory itself. No
 * link is followed anywhere on the way: ELOOP where one is met, EXDEV where `..` would lead out.
 *
 * @param path names with slashes between them
 * @param flags `fs.constants.O_*` and `O_PATH`
 */
export function openBeneath(directory: number, path: string, flags: number): number {
  return openHow(directory, path === '' ? '.' : path, { flags, resolve: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS })
}
