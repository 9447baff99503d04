import { statSync } from 'node:fs'
import { StrataError } from '../base/index.ts'
import { formatReference } from '../oci/index.ts'
import type { Transport } from '../transfer/index.ts'
import type { CopySource } from './copySource.ts'

/** What a copy is from and to. */
interface Places {
  readonly from: Transport
  readonly to: Transport
}

/**
 * Refuses a copy that would put an image in its own place: nothing could come of it but that what is not chosen is lost.
 * Files are the same under every path. Throws `invalidArgument` (STRATA_COPY_ONTO_ITSELF).
 */
export function refuseOntoItself(source: CopySource, { from, to }: Places): void {
  if (!isOntoItself(source, from, to)) return
  throw new StrataError(
    'invalidArgument',
    'STRATA_COPY_ONTO_ITSELF',
    `Cannot copy ${source.root.descriptor.digest}: source and destination are the same`,
    { hint: 'Name another destination.' },
  )
}

function isOntoItself({ archive, root }: CopySource, from: Transport, to: Transport): boolean {
  if (from.kind === 'docker' && to.kind === 'docker') return formatReference(from.reference) === formatReference(to.reference)
  if (archive === undefined || !('path' in from) || !('path' in to) || !isSameFile(from.path, to.path)) return false
  // In a layout an image may stand under another name too.
  if (to.kind !== 'oci') return true
  return archive.roots.some(({ label, descriptor }) => label === to.name && descriptor.digest === root.descriptor.digest)
}

function isSameFile(one: string, other: string): boolean {
  const [a, b] = [one, other].map(path => statSync(path, { bigint: true, throwIfNoEntry: false }))
  return a !== undefined && b !== undefined && a.ino === b.ino && a.dev === b.dev
}
