import { StrataError } from '../base/index.ts'
import { quotePath } from './layerPath.ts'
import { directoriesAbove } from './pathOrder.ts'

/**
 * Whether a hard link to a file below leads to what another such link of its layer, or itself, takes the place of: its
 * name, or something in a directory there. Only a symlink below can lead there, and what it means would hang on the order of the
 * links, which no index keeps: every driver refuses it.
 *
 * @param linkNames the names of a layer's hard links to files below
 * @param target where one of them leads, symlinks followed
 */
export function isDisplaced(linkNames: ReadonlySet<string>, target: string): boolean {
  return linkNames.has(target) || directoriesAbove(target).some(directory => linkNames.has(directory))
}

/** A hard link to something that is neither in its layer nor below. */
export function missingLinkTarget(path: string, target: string, cause: unknown): StrataError {
  return new StrataError(
    'invalidArgument',
    'STRATA_HARD_LINK_TARGET',
    `Cannot apply layer entry ${quotePath(path)}: it is a hard link to ${quotePath(target)}, which is no file in this layer or below`,
    { cause },
  )
}
