import type { CallOptions } from '../base/index.ts'
import { type Descriptor, isIndex, parseIndex } from '../oci/index.ts'
import type { GraphRoot } from '../transfer/index.ts'

const DOCKER_TYPES = 'application/vnd.docker.'

/** Tells who has images put into a layout that not everybody reads Docker's media types there (skopeo 1.9 and umoci 0.4 do not). */
export function noteDockerTypes(roots: readonly GraphRoot[], { onProgress }: CallOptions): void {
  if (!roots.some(hasDockerTypes)) return
  const status = "The image keeps Docker's media types, so that its digest stays; some tools do not read them in a layout"
  onProgress?.({ id: '', status })
}

function hasDockerTypes({ descriptor, bytes }: GraphRoot): boolean {
  const documents: readonly Descriptor[] = [descriptor, ...(isIndex(descriptor.mediaType) ? parseIndex(bytes).manifests : [])]
  return documents.some(({ mediaType }) => mediaType.startsWith(DOCKER_TYPES))
}
