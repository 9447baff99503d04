import type { Origin, Referrer } from '../image/index.ts'
import { type Descriptor, type Digest, type Reference, withDefaultTag } from '../oci/index.ts'
import type { TakenImage } from '../transfer/index.ts'
import { bestForHost } from './bestForHost.ts'
import type { Stores } from './stores.ts'

/** Something that was brought into the stores by another way than a pull. */
export interface TakenRoot {
  readonly root: Descriptor
  readonly names: readonly Reference[]
  readonly images: readonly TakenImage[]
  /** Where it was in a registry, when it was there. */
  readonly from?: RegistryOrigin
}

export interface RegistryOrigin {
  readonly reference: Reference
  /** Under which the repository gave it out: that of the index, where one image of it was taken. */
  readonly given: Digest
  /** The signatures of the root that count. */
  readonly signatures: readonly Referrer[]
}

/**
 * Records what was brought here and gives it its names, all at once: an image, an index with its images, or an artifact.
 * Without a name images are kept alone.
 */
export function recordTaken(stores: Stores, taken: readonly TakenRoot[]): void {
  stores.changeImages(() => {
    for (const { root, names, images, from } of taken) {
      const origin = from === undefined ? undefined : originOf(from)
      for (const { facts } of images) stores.images.put(facts, origin)
      for (const referrer of from?.signatures ?? []) stores.images.addReferrer(root.digest, referrer, from!.reference)
      const all = images.map(({ facts }) => facts.manifest.digest)
      const chosen = bestForHost(images)?.facts.manifest.digest
      for (const name of names.map(withDefaultTag)) {
        if (chosen === root.digest) stores.images.setName(name, chosen)
        else stores.images.setRoot(name, root, chosen === undefined ? { all } : { all, chosen }, origin)
      }
    }
  })
}

const originOf = ({ reference: { domain, path }, given }: RegistryOrigin): Origin => ({
  repository: `${domain}/${path}`,
  given,
  isPushed: false,
})
