import type { Origin } from '../image/index.ts'
import { type Descriptor, type Reference, withDefaultTag } from '../oci/index.ts'
import type { KeptReferrer, TakenImage } from '../transfer/index.ts'
import { bestForHost } from './bestForHost.ts'
import type { Stores } from './stores.ts'

/** Something that was brought into the stores by another way than a pull. */
export interface TakenRoot {
  readonly root: Descriptor
  readonly names: readonly Reference[]
  readonly images: readonly TakenImage[]
  /** Which registries' repositories it came from, now or before it was in this store. */
  readonly origins?: readonly Origin[]
  /** What is said about them, and where. */
  readonly said?: { readonly reference: Reference; readonly referrers: readonly KeptReferrer[] }
}

/**
 * Records what was brought here and gives it its names, all at once: an image, an index with its images, or an artifact.
 * Without a name images are kept alone.
 */
export function recordTaken(stores: Stores, taken: readonly TakenRoot[]): void {
  stores.changeImages(() => {
    for (const { root, names, images, origins = [], said } of taken) {
      for (const { facts } of images) stores.images.put(facts, ...origins)
      for (const { subject, referrer } of said?.referrers ?? []) stores.images.addReferrer(subject, referrer, said!.reference)
      const all = images.map(({ facts }) => facts.manifest.digest)
      const chosen = bestForHost(images)?.facts.manifest.digest
      for (const name of names.map(withDefaultTag)) {
        if (chosen === root.digest) stores.images.setName(name, chosen)
        else stores.images.setRoot(name, root, chosen === undefined ? { all } : { all, chosen }, ...origins)
      }
    }
  })
}
