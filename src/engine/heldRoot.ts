import { StrataError } from '../base/index.ts'
import type { ImageRecord } from '../image/index.ts'
import type { Lease } from '../metadata/index.ts'
import type { Descriptor } from '../oci/index.ts'
import type { Stores } from './stores.ts'

/** Keeps an image, an index or an artifact while it is read. */
export function holdRoot(stores: Stores, root: Descriptor, image: ImageRecord | undefined): Lease {
  if (image !== undefined) return holdImage(stores, image, root)
  const lease = stores.leases.create()
  lease.add({ kind: 'blob', id: root.digest })
  return lease
}

/** Keeps an image whole while it is read, even when somebody removes it meanwhile. */
export function holdImage(stores: Stores, { id, manifest }: ImageRecord, root: Descriptor = manifest): Lease {
  const lease = stores.leases.create()
  lease.add({ kind: 'blob', id: root.digest })
  for (const resource of stores.images.references(manifest.digest)) lease.add(resource)
  if (stores.images.get(manifest.digest) !== undefined) return lease
  lease.release()
  throw new StrataError('notFound', 'STRATA_NO_SUCH_IMAGE', `Cannot read image "${id}": it was removed meanwhile`)
}
