import { type Descriptor, type Reference, withDefaultTag } from '../oci/index.ts'
import type { KeptReferrer, TakenImage } from '../transfer/index.ts'
import { bestForHost } from './bestForHost.ts'
import type { Stores } from './stores.ts'

/** Something that was brought into the stores from elsewhere than a registry. */
export interface TakenRoot {
  readonly root: Descriptor
  readonly names: readonly Reference[]
  readonly images: readonly TakenImage[]
  /** What is said about them, where that came along. */
  readonly referrers?: readonly KeptReferrer[]
}

/**
 * Records what was brought here and gives it its names, all at once: an image, an index with its images, or an artifact.
 * Without a name images are kept alone.
 */
export function recordTaken(stores: Stores, taken: readonly TakenRoot[]): void {
  stores.changeImages(() => {
    for (const { root, names, images, referrers = [] } of taken) {
      for (const { facts } of images) stores.images.put(facts)
      for (const { subject, referrer } of referrers) stores.images.addReferrer(subject, referrer)
      const all = images.map(({ facts }) => facts.manifest.digest)
      const chosen = bestForHost(images)?.facts.manifest.digest
      for (const name of names.map(withDefaultTag)) {
        if (chosen === root.digest) stores.images.setName(name, chosen)
        else stores.images.setRoot(name, root, chosen === undefined ? { all } : { all, chosen })
      }
    }
  })
}
