import { readdirSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { type CallOptions, type Durability, errnoOf, StrataError, systemError } from '../base/index.ts'
import type { BlobSource } from '../content/index.ts'
import { type Descriptor, isIndex, isManifest } from '../oci/index.ts'
import type { GraphRoot } from '../transfer/index.ts'
import { makeDirectories, StagedDirectory, writeImageFile } from './blobFile.ts'
import { DIRECTORY_MANIFEST, DIRECTORY_VERSION, directoryName, isDirectoryImage, VERSION_TEXT } from './directoryFormat.ts'
import { DirectoryFiles } from './directoryFiles.ts'
import { type ImageSink, openIfHad } from './imageSink.ts'

/** A `dir:` directory that one image or index is written to; it appears as a whole, in place of an older one. */
export class ImageDirectory implements ImageSink {
  readonly #staged: StagedDirectory
  readonly #durability: Durability

  private constructor(staged: StagedDirectory, durability: Durability) {
    this.#staged = staged
    this.#durability = durability
  }

  /** Rejects with `conflict` (STRATA_NOT_AN_IMAGE_DIRECTORY) for a directory that holds something else. */
  static async create(path: string, durability: Durability): Promise<ImageDirectory> {
    const place = resolve(path)
    try {
      if (!isAbsentOrEmpty(place) && !(await isDirectoryImage(new DirectoryFiles(place)))) throw notAnImage(path)
      await makeDirectories(dirname(place), durability)
      return new ImageDirectory(await StagedDirectory.create(place, durability), durability)
    } catch (error) {
      throw systemError(`write image directory "${path}"`, error)
    }
  }

  async take(target: Descriptor, source: BlobSource, options: CallOptions): Promise<Descriptor> {
    const bytes = await openIfHad(source, target, options)
    if (bytes === undefined) return target
    const name = directoryName(target.digest, isManifest(target.mediaType) || isIndex(target.mediaType))
    await writeImageFile(join(this.#staged.path, name), bytes, this.#durability)
    return target
  }

  async finish({ bytes }: GraphRoot): Promise<void> {
    await writeImageFile(join(this.#staged.path, DIRECTORY_VERSION), Buffer.from(VERSION_TEXT), this.#durability)
    await writeImageFile(join(this.#staged.path, DIRECTORY_MANIFEST), bytes, this.#durability)
    await this.#staged.publish()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#staged[Symbol.asyncDispose]()
  }
}

function isAbsentOrEmpty(path: string): boolean {
  try {
    return readdirSync(path).length === 0
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return true
    throw error
  }
}

function notAnImage(path: string): StrataError {
  return new StrataError(
    'conflict',
    'STRATA_NOT_AN_IMAGE_DIRECTORY',
    `Cannot write image directory "${path}": the directory holds something else`,
    { hint: 'Name a new or an empty directory.' },
  )
}
