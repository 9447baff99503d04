import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Durability, errnoOf, systemError } from '../base/index.ts'
import { type Descriptor, IMAGE_LAYOUT, IMAGE_LAYOUT_VERSION, MEDIA_TYPES } from '../oci/index.ts'

/** Writes `oci-layout`, which makes the root an OCI image layout. image-spec image-layout.md */
export function writeLayoutHeader(root: string, durability: Durability): void {
  replaceFile(join(root, IMAGE_LAYOUT.header), JSON.stringify({ imageLayoutVersion: IMAGE_LAYOUT_VERSION }), durability)
}

/** Writes `index.json`. image-spec image-layout.md#indexjson-file */
export function writeLayoutIndex(root: string, manifests: readonly Descriptor[], durability: Durability): void {
  replaceFile(join(root, IMAGE_LAYOUT.index), JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests }), durability)
}

/**
 * Replaces a file at once and durably, unless it has this text. Synchronous, because the write lock of
 * the metadata is what keeps two processes from writing one file.
 */
function replaceFile(path: string, text: string, durability: Durability): void {
  const partial = `${path}.partial-${process.pid}`
  try {
    if (readTextIfExists(path) === text) return
    writeFileSync(partial, text, { mode: 0o600, flush: durability.isWanted })
    durability.rename(partial, path)
  } catch (error) {
    throw systemError(`write "${path}"`, error)
  }
}

function readTextIfExists(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}
