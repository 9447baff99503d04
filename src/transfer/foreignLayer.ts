import { type CallOptions } from '../base/index.ts'
import { type Descriptor, digestHex } from '../oci/index.ts'

/** Reports that a layer stays where its publisher gives it out, in docker's words. */
export function reportSkipped({ digest }: Descriptor, { onProgress }: CallOptions): void {
  onProgress?.({ id: digestHex(digest).slice(0, 12), status: 'Skipped foreign layer' })
}
