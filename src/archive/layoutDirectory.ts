import { existsSync, readdirSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type CallOptions, type Durability, readIfExists, removeLeftovers, StrataError, systemError } from '../base/index.ts'
import type { BlobSource } from '../content/index.ts'
import { lockFile } from '../host/index.ts'
import {
  ANNOTATIONS,
  blobPath,
  type Descriptor,
  IMAGE_LAYOUT,
  IMAGE_LAYOUT_VERSION,
  MEDIA_TYPES,
  parseImageLayout,
  parseIndex,
} from '../oci/index.ts'
import type { GraphRoot } from '../transfer/index.ts'
import { holdsBlob, makeDirectories, writeImageFile } from './blobFile.ts'
import { type ImageSink, openIfHad } from './imageSink.ts'

/**
 * An OCI image layout in a directory, which a graph is added to: blobs first, index.json last. What is there already stays, but
 * for an entry of the same name. Several may add to one layout at once. image-spec image-layout.md
 */
export class LayoutDirectory implements ImageSink {
  readonly #path: string
  readonly #name: string | undefined
  readonly #durability: Durability

  private constructor(path: string, { name, durability }: LayoutOptions) {
    this.#path = path
    this.#name = name
    this.#durability = durability
  }

  /** Makes the directory where there is none. Rejects with `conflict` (STRATA_NOT_A_LAYOUT) for one that holds something else. */
  static async open(path: string, options: LayoutOptions): Promise<LayoutDirectory> {
    try {
      await makeDirectories(path, options.durability)
      const header = await readIfExists(join(path, IMAGE_LAYOUT.header))
      if (header !== undefined) parseImageLayout(header)
      else if (readdirSync(path).some(isStrange)) throw notALayout(path)
      await removeLeftoversIn(path)
    } catch (error) {
      throw systemError(`write image layout "${path}"`, error)
    }
    return new LayoutDirectory(path, options)
  }

  async take(target: Descriptor, source: BlobSource, options: CallOptions): Promise<Descriptor> {
    const path = join(this.#path, blobPath(target.digest))
    if (await holdsBlob(path, target, options)) return target
    const bytes = await openIfHad(source, target, options)
    if (bytes === undefined) return target
    await makeDirectories(dirname(path), this.#durability)
    await writeImageFile(path, bytes, this.#durability)
    return target
  }

  async finish({ descriptor, bytes }: GraphRoot, { signal }: CallOptions): Promise<void> {
    const path = join(this.#path, blobPath(descriptor.digest))
    await makeDirectories(dirname(path), this.#durability)
    await writeImageFile(path, bytes, this.#durability)
    // The lock goes with the descriptor.
    await using directory = await open(this.#path, 'r')
    await lockFile(directory.fd, 'exclusive', { signal })
    const header = join(this.#path, IMAGE_LAYOUT.header)
    if ((await readIfExists(header)) === undefined)
      await writeImageFile(header, Buffer.from(JSON.stringify({ imageLayoutVersion: IMAGE_LAYOUT_VERSION })), this.#durability)
    const index = join(this.#path, IMAGE_LAYOUT.index)
    const before = await readIfExists(index)
    await writeImageFile(index, Buffer.from(JSON.stringify(this.#indexWith(descriptor, before))), this.#durability)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Blobs that nothing names are no part of the layout, and the next copy finds them.
  }

  #indexWith(root: Descriptor, before: Buffer | undefined): object {
    const entry = rootEntry(root, this.#name === undefined ? undefined : { [ANNOTATIONS.refName]: this.#name })
    if (before === undefined) return { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: [entry] }
    const { manifests } = parseIndex(before)
    const others = manifests.filter(({ digest, annotations }) => {
      const name = annotations?.[ANNOTATIONS.refName]
      return name !== this.#name || (name === undefined && digest !== root.digest)
    })
    return { ...(JSON.parse(before.toString()) as object), manifests: [...others, entry] }
  }
}

/** What copies that were killed have left: halves of documents, and of blobs. */
async function removeLeftoversIn(layout: string): Promise<void> {
  const blobs = join(layout, IMAGE_LAYOUT.blobs)
  const algorithms = existsSync(blobs) ? readdirSync(blobs).map(name => join(blobs, name)) : []
  for (const directory of [layout, ...algorithms]) await removeLeftovers(directory, () => true)
}

/** Another process may be making the layout: its files then have names that begin like theirs. */
const isStrange = (name: string): boolean => !Object.values(IMAGE_LAYOUT).some(known => name.startsWith(known))

export interface LayoutOptions {
  /** The annotation `org.opencontainers.image.ref.name`, mostly a tag. */
  readonly name: string | undefined
  readonly durability: Durability
}

/** A root as an index.json names it: what another index said of it does not belong there. */
export function rootEntry({ mediaType, digest, size, artifactType }: Descriptor, annotations?: Descriptor['annotations']): Descriptor {
  return {
    mediaType,
    digest,
    size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  }
}

function notALayout(path: string): StrataError {
  return new StrataError('conflict', 'STRATA_NOT_A_LAYOUT', `Cannot write image layout "${path}": the directory holds something else`, {
    hint: 'Name a new or an empty directory, or one that is a layout.',
  })
}
