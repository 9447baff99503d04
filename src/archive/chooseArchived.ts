import { StrataError } from '../base/index.ts'
import { familiarName, findReference, formatReference, type Reference, withDefaultTag } from '../oci/index.ts'
import type { ArchivedRoot, ArchiveSource } from './archiveSource.ts'

/**
 * The one image, index or artifact of an archive or directory that is meant.
 *
 * @param wanted a name in any spelling, a position among the images, or the tag (or whole annotation) of a layout's entry;
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
  if (label !== undefined && label === wanted) return true
  const reference = typeof wanted === 'string' ? findReference(wanted) : wanted
  if (reference === undefined) return false
  // A label that is a name without a tag is meant by that name too.
  const labelled = label === undefined || names.length > 0 ? undefined : findReference(label)
  const known = labelled === undefined ? names : [labelled]
  return known.some(name => formatReference(withDefaultTag(name)) === formatReference(reference))
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
