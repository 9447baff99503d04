import { type CallOptions, readAtMost, StrataError } from '../base/index.ts'
import {
  checkIsImage,
  checkManifestAgainstConfig,
  choosePlatform,
  type Descriptor,
  type Digest,
  enterIndex,
  formatPlatform,
  type ImageConfig,
  type ImageManifest,
  LIMITS,
  parseImageConfig,
  parseManifestOrIndex,
  type Platform,
  type Reference,
} from '../oci/index.ts'
import type { RemoteManifest, Repository } from '../registry/index.ts'

/** One platform's image in a repository: everything but the layers' bytes. */
export interface RemoteImage {
  /** What the tag or digest stands for: the manifest, or the index that it was chosen from. */
  readonly rootDigest: Digest
  readonly manifest: ImageManifest
  readonly remote: RemoteManifest
  readonly config: ImageConfig
  readonly configBytes: Buffer
}

/**
 * Finds the image that a reference means for a platform.
 *
 * Rejects with `notFound` (STRATA_NO_SUCH_MANIFEST, STRATA_NO_SUCH_PLATFORM).
 */
export async function resolveRemoteImage(
  repository: Repository,
  reference: Reference,
  options: CallOptions & { readonly platform: Platform },
): Promise<RemoteImage> {
  const root = await repository.manifest(reference.digest ?? reference.tag ?? 'latest', options)
  const { remote, manifest } = await choose(repository, root, [], options)
  checkIsImage(manifest)
  const configBytes = await readAtMost(await repository.open(manifest.config, options), LIMITS.configBytes, 'the image config')
  const config = parseImageConfig(configBytes)
  checkManifestAgainstConfig(manifest, config)
  return { rootDigest: root.descriptor.digest, manifest, remote, config, configBytes }
}

async function choose(
  repository: Repository,
  remote: RemoteManifest,
  ancestors: readonly Digest[],
  options: CallOptions & { readonly platform: Platform },
): Promise<{ readonly remote: RemoteManifest; readonly manifest: ImageManifest }> {
  const document = parseManifestOrIndex(remote.bytes, remote.descriptor.mediaType)
  if (document.kind === 'manifest') return { remote, manifest: document.manifest }
  const entered = enterIndex(ancestors, remote.descriptor.digest)
  const chosen: Descriptor | undefined = choosePlatform(document.index.manifests, options.platform)
  if (chosen === undefined) {
    const offered = document.index.manifests.flatMap(({ platform }) => (platform === undefined ? [] : [formatPlatform(platform)]))
    throw new StrataError(
      'notFound',
      'STRATA_NO_SUCH_PLATFORM',
      `Cannot find an image for ${formatPlatform(options.platform)} in "${repository.name}": no manifest is for it`,
      {
        hint: `It has ${offered.join(', ') || 'none'}; choose one with --platform.`,
      },
    )
  }
  return choose(repository, await repository.manifest(chosen.digest, options), entered, options)
}
