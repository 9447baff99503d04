import { describeBytes, type Digest, digestHex, isIndex, isManifest, LIMITS, parseManifestOrIndex } from '../oci/index.ts'
import { type ImageFiles, invalid } from './imageFiles.ts'
import type { ArchivedRoot, BlobPlace } from './archiveSource.ts'

/*
 * What containers-transports(5) calls `dir:`, one image or index in a directory. The format is documented nowhere; as skopeo
 * writes it:
 *
 *   version                      the text below
 *   manifest.json                the manifest or index, byte for byte
 *   <hex>                        a blob
 *   <hex>.manifest.json          a manifest that the index names
 */
export const DIRECTORY_VERSION = 'version'
export const DIRECTORY_MANIFEST = 'manifest.json'
export const VERSION_TEXT = 'Directory Transport Version: 1.1\n'
const VERSION_LINE = /^Directory Transport Version: \d+\.\d+\n?$/
const VERSION_BYTES = 256

/** What a blob is called, or a manifest that is not the top one. */
export function directoryName(digest: Digest, isDocument: boolean): string {
  return isDocument ? `${digestHex(digest)}.manifest.json` : digestHex(digest)
}

/** Whether files are those of a `dir:` image. */
export async function isDirectoryImage(files: ImageFiles): Promise<boolean> {
  if (!files.has(DIRECTORY_VERSION)) return false
  return VERSION_LINE.test((await files.read(DIRECTORY_VERSION, VERSION_BYTES)).toString())
}

/** The one image or index of a directory, and where its blobs are. */
export async function readDirectoryImage(
  files: ImageFiles,
): Promise<{ readonly roots: readonly ArchivedRoot[]; readonly locate: (digest: Digest) => BlobPlace | undefined }> {
  const bytes = await files.read(DIRECTORY_MANIFEST, LIMITS.indexBytes)
  const document = parseManifestOrIndex(bytes)
  const { mediaType } = document.kind === 'index' ? document.index : document.manifest
  if (!isManifest(mediaType) && !isIndex(mediaType)) throw invalid(files.name, `${DIRECTORY_MANIFEST} is no manifest`)
  const descriptor = describeBytes(mediaType, bytes)
  const locate = (digest: Digest): BlobPlace | undefined => {
    if (digest === descriptor.digest) return { bytes }
    const name = [directoryName(digest, false), directoryName(digest, true)].find(each => files.has(each))
    return name === undefined ? undefined : { extent: files.extent(name) }
  }
  return { roots: [{ descriptor, names: [] }], locate }
}
