import { chainIds, type Descriptor, type ImageConfig, type ImageId, imageIdOf } from '../oci/index.ts'
import type { ImageFacts } from './imageStore.ts'

/** What the records keep of an image, so that lists need not read its config. */
export function imageFacts(
  config: ImageConfig,
  configBytes: Uint8Array,
  known: { readonly manifest: Descriptor; readonly contentBytes: number; readonly parentId?: ImageId },
): ImageFacts {
  const created = config.created === undefined ? undefined : new Date(config.created)
  return {
    manifest: known.manifest,
    id: imageIdOf(configBytes),
    parentId: known.parentId,
    diffIds: config.rootfs.diff_ids,
    chainId: chainIds(config.rootfs.diff_ids).at(-1),
    createdAt: created === undefined || Number.isNaN(created.getTime()) ? undefined : created,
    labels: config.config?.Labels ?? {},
    contentBytes: known.contentBytes,
  }
}
