import { StrataError } from '../base/index.ts'
import { familiarName, formatReference, type Reference, withDefaultTag } from '../oci/index.ts'
import type { ArchivedRoot, ArchiveSource } from './archiveSource.ts'

/**
 * The one image, index or artifact of an archive or directory that is meant.
 *
 * @param wanted a name, a position among the images of a docker-archive, or the tag (or whole annotation) of a layout's entry;
 *   undefined where there is only one
 * Rejects with `notFound` (STRATA_NOT_IN_ARCHIVE), and with `invalidArgument` (STRATA_SEVERAL_IMAGES) where several are meant.
 */
export function chooseArchived(source: ArchiveSource, wanted: Reference | number | string | undefined): ArchivedRoot {
  const found = source.roots.filter(root => isMeant(root, wanted))
  const [first] = found
  if (first === undefined) throw notThere(source, wanted)
  if (found.every(({ descriptor }) => descriptor.digest === first.descriptor.digest)) return first
  throw new StrataError('invalidArgument', 'STRATA_SEVERAL_IMAGES', `Cannot choose an image of ${source.title}: it has several`, {
    hint: `Name one: ${titles(source)}.`,
  })
}

function isMeant({ label, names, position }: ArchivedRoot, wanted: Reference | number | string | undefined): boolean {
  if (wanted === undefined) return true
  if (typeof wanted === 'number') return position === wanted
  if (typeof wanted === 'string')
    return label === wanted || names.some(name => formatReference(name) === wanted || familiarName(name) === wanted)
  return names.some(name => formatReference(withDefaultTag(name)) === formatReference(wanted))
}

function notThere(source: ArchiveSource, wanted: Reference | number | string | undefined): StrataError {
  const what = wanted === undefined ? 'an image' : typeof wanted === 'object' ? `"${familiarName(wanted)}"` : `"${wanted}"`
  return new StrataError('notFound', 'STRATA_NOT_IN_ARCHIVE', `Cannot find ${what} in ${source.title}: it has no such image`, {
    hint: `It has ${titles(source)}.`,
  })
}

const SHOWN = 20

function titles({ roots }: ArchiveSource): string {
  const all = new Set(
    roots.flatMap(({ label, names, position }) => {
      const shown = [...names.map(familiarName), ...(names.length === 0 && label !== undefined ? [label] : [])]
      return shown.length === 0 && position !== undefined ? [`@${position}`] : shown
    }),
  )
  if (all.size === 0) return roots.length === 0 ? 'none' : 'images without a name'
  return [...all].slice(0, SHOWN).join(', ') + (all.size > SHOWN ? ', …' : '')
}
