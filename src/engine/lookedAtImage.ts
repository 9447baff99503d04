import type { CallOptions } from '../base/index.ts'
import type { ImageRecord } from '../image/index.ts'
import { parseReference, type Reference, withDefaultTag } from '../oci/index.ts'
import type { Repository } from '../registry/index.ts'
import type { RemoteImage } from '../transfer/index.ts'
import { platformOf } from './hostPlatform.ts'
import { findImageFor, imageFor } from './imagePlatform.ts'
import type { LookOptions } from './images.ts'
import type { RegistryAccess } from './registryAccess.ts'
import type { Stores } from './stores.ts'

/** The image that is here; undefined where its registry is to be asked: it is not here, not for this platform, or was asked for there. */
export async function findImageHere(stores: Stores, text: string, { platform, remote }: LookOptions): Promise<ImageRecord | undefined> {
  if (remote === true) return undefined
  if (/^(?:sha256:)?[0-9a-f]{64}$/.test(text)) {
    // Registries know no ids of images.
    return imageFor(stores, text, platform)
  }
  return findImageFor(stores, text, platform)
}

/** Where an image is asked for in a registry. Who gets it closes the repository. */
export interface RemotePlace {
  readonly repository: Repository
  readonly reference: Reference
  /** Fetches manifest and config. Call it in `repository.withoutLiars`, with all that is done with them and may show that they are wrong. */
  readonly find: () => Promise<RemoteImage>
}

export async function remotePlaceOf(text: string, options: LookOptions & CallOptions & RegistryAccess): Promise<RemotePlace> {
  const reference = withDefaultTag(parseReference(text))
  const platform = platformOf(options.platform)
  const { connectRepository } = await import('../registry/index.ts')
  const { resolveRemoteImage } = await import('../transfer/index.ts')
  const repository = await connectRepository(reference, { ...options, access: 'pull' })
  return { repository, reference, find: () => resolveRemoteImage(repository, reference, { ...options, platform }) }
}
