import { type CallOptions, readAtMost } from '../base/index.ts'
import type { BlobSource } from '../content/index.ts'
import {
  checkIsImage,
  checkManifestAgainstConfig,
  choosePlatform,
  type Descriptor,
  type Digest,
  enterIndex,
  type ImageConfig,
  type ImageManifest,
  LIMITS,
  parseImageConfig,
  parseManifest,
  parseManifestOrIndex,
  type Platform,
  type Reference,
} from '../oci/index.ts'
import type { Repository } from '../registry/index.ts'
import type { GraphRoot } from './copyGraph.ts'
import type { ImageSource } from './imageSource.ts'
import { noSuchPlatform } from './noSuchPlatform.ts'

/** One platform's image in a repository: everything but the layers' bytes. */
export interface RemoteImage {
  /** What the tag or digest stands for: the manifest, or the index that it was chosen from. */
  readonly rootDigest: Digest
  readonly manifest: ImageManifest
  readonly remote: GraphRoot
  readonly config: ImageConfig
  readonly configBytes: Buffer
}

/**
 * Finds the image that a reference means for a platform.
 *
 * Rejects with `notFound` (STRATA_NO_SUCH_MANIFEST, STRATA_NO_SUCH_PLATFORM), and with `unsupported` for an artifact.
 */
export async function resolveRemoteImage(
  repository: Repository,
  reference: Reference,
  options: CallOptions & { readonly platform: Platform },
): Promise<RemoteImage> {
  const root = await repository.manifest(reference.digest ?? reference.tag ?? 'latest', options)
  const chosen = await choosePlatformImage(repository, root, options)
  return { ...(await readRemoteImage(repository, chosen, options)), rootDigest: root.descriptor.digest }
}

/** The manifest for a platform: `root` itself, or the best of an index. Rejects with `notFound` (STRATA_NO_SUCH_PLATFORM). */
export async function choosePlatformImage(
  source: ImageSource,
  root: GraphRoot,
  options: CallOptions & { readonly platform: Platform },
  ancestors: readonly Digest[] = [],
): Promise<GraphRoot> {
  const document = parseManifestOrIndex(root.bytes, root.descriptor.mediaType)
  if (document.kind === 'manifest') return root
  const entered = enterIndex(ancestors, root.descriptor.digest)
  const chosen: Descriptor | undefined = choosePlatform(document.index.manifests, options.platform)
  if (chosen === undefined) throw noSuchPlatform(document.index.manifests, options.platform, source.name)
  const bytes = await readAtMost(await source.open(chosen, options), LIMITS.manifestBytes, `manifest ${chosen.digest}`)
  const { mediaType, digest, size } = chosen
  return choosePlatformImage(source, { descriptor: { mediaType, digest, size }, bytes }, options, entered)
}

/** An image by its manifest: reads the config. Rejects with `unsupported` (STRATA_MANIFEST_NOT_AN_IMAGE) for an artifact. */
export async function readRemoteImage(source: BlobSource, remote: GraphRoot, options: CallOptions): Promise<RemoteImage> {
  const manifest = parseManifest(remote.bytes, remote.descriptor.mediaType)
  checkIsImage(manifest)
  const configBytes = await readAtMost(await source.open(manifest.config, options), LIMITS.configBytes, 'the image config')
  const config = parseImageConfig(configBytes)
  checkManifestAgainstConfig(manifest, config)
  return { rootDigest: remote.descriptor.digest, manifest, remote, config, configBytes }
}
