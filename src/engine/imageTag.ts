import type { Reference } from '../oci/index.ts'
import type { Stores } from './stores.ts'

/** Gives what a name or an id stands for one more name: an image, or the index or artifact that is kept under the name. */
export function tagRoot(stores: Stores, source: string, target: Reference): void {
  stores.changeImages(() => {
    const { images } = stores
    const name = images.nameMeant(source)
    const root = name === undefined ? undefined : images.rootOf(name)
    const image = name !== undefined && root !== undefined ? images.named(name) : images.resolve(source)
    if (root === undefined || root.digest === image?.manifest.digest) images.setName(target, images.resolve(source).manifest.digest)
    else {
      const all = images.imagesOf(root.digest).map(({ manifest }) => manifest.digest)
      images.setRoot(target, root, image === undefined ? { all } : { all, chosen: image.manifest.digest })
    }
  })
}
