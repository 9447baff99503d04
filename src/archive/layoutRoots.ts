import { isStrataError } from '../base/index.ts'
import {
  ANNOTATIONS,
  type Descriptor,
  IMAGE_LAYOUT,
  type ImageIndex,
  LIMITS,
  parseImageLayout,
  parseIndex,
  parseReference,
  type Reference,
} from '../oci/index.ts'
import type { ImageFiles } from './imageFiles.ts'
import type { ArchivedRoot } from './archiveSource.ts'

/** Reads `oci-layout` and `index.json`. image-spec image-layout.md */
export async function readLayoutIndex(files: ImageFiles): Promise<ImageIndex> {
  parseImageLayout(await files.read(IMAGE_LAYOUT.header, LIMITS.configBytes))
  return parseIndex(await files.read(IMAGE_LAYOUT.index, LIMITS.indexBytes))
}

/** The entries of an index.json with the names that they have there. */
export function layoutRoots(index: ImageIndex): readonly ArchivedRoot[] {
  return index.manifests.map(descriptor => {
    const label = descriptor.annotations?.[ANNOTATIONS.refName]
    const name = nameOf(descriptor)
    return { descriptor, names: name === undefined ? [] : [name], ...(label === undefined ? {} : { label }) }
  })
}

/** The whole reference where a tool wrote one; a bare tag alone is no name, unless it reads as one with a tag. */
function nameOf({ annotations }: Descriptor): Reference | undefined {
  const whole = annotations?.[ANNOTATIONS.containerdName] ?? annotations?.[ANNOTATIONS.refName]
  if (whole === undefined) return undefined
  try {
    const { domain, path, tag } = parseReference(whole)
    return tag === undefined ? undefined : { domain, path, tag }
  } catch (error) {
    if (isStrataError(error, 'invalidArgument')) return undefined
    throw error
  }
}
