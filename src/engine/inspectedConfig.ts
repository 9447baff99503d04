import type { ImageConfig } from '../oci/index.ts'
import type { ImageConfigJson, ImageInspect } from './imageInspect.ts'

/** Go's zero time, which docker prints for what never was. */
export const NEVER: Date = new Date('0001-01-01T00:00:00Z')

type OfConfig = 'Comment' | 'Created' | 'DockerVersion' | 'Author' | 'Config' | 'Architecture' | 'Variant' | 'Os' | 'OsVersion'

/** What `image inspect` prints of an image's config, wherever the image is. */
export function inspectedConfig(config: ImageConfig): Pick<ImageInspect, OfConfig> {
  return {
    Comment: config.history?.at(-1)?.comment ?? '',
    ...(config.created === undefined ? {} : { Created: config.created }),
    DockerVersion: dockerVersionOf(config),
    Author: config.author ?? '',
    Config: (config.config ?? {}) as ImageConfigJson,
    Architecture: config.architecture,
    ...(config.variant === undefined ? {} : { Variant: config.variant }),
    Os: config.os,
    ...(config['os.version'] === undefined ? {} : { OsVersion: config['os.version'] }),
  }
}

/** What made the image, where that was Docker: a field that is not the image-spec's. */
function dockerVersionOf(config: ImageConfig & { readonly docker_version?: unknown }): string {
  return typeof config.docker_version === 'string' ? config.docker_version : ''
}
