import { randomBytes } from 'node:crypto'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type ByteStream, errnoOf, fileStream, StrataError, systemError } from '../base/index.ts'
import { decompress, detectCompression } from '../compression/index.ts'
import { IMAGE_LAYOUT, type Platform } from '../oci/index.ts'
import { ArchiveFile } from './archiveFile.ts'
import type { ArchivedImage } from './archivedImage.ts'
import { DOCKER_MANIFEST, readDockerArchive } from './dockerArchive.ts'
import { LEGACY_REPOSITORIES, readLegacyArchive } from './legacyArchive.ts'
import { readOciArchive } from './ociArchive.ts'

/** An archive that lies as a plain tar on disk; disposing removes what was written for that. */
export interface PlainArchive extends AsyncDisposable {
  readonly path: string
  /** What messages call it. */
  readonly name: string
}

/**
 * The images of an archive, whichever of the formats it has. One with both forms (Docker writes that
 * since 25) is read as the OCI layout that it is, so that manifests keep their digests.
 *
 * @param platform which image of an index is wanted
 * Rejects with `invalidArgument` (STRATA_ARCHIVE_INVALID) for what is no image archive, and `dataLoss` for one that lacks something.
 */
export async function readArchive({ path, name }: PlainArchive, platform: Platform): Promise<readonly ArchivedImage[]> {
  const archive = await ArchiveFile.open(path, name)
  if (archive.has(IMAGE_LAYOUT.header) && archive.has(IMAGE_LAYOUT.index)) return readOciArchive(archive, platform)
  if (archive.has(DOCKER_MANIFEST)) return readDockerArchive(archive)
  if (archive.has(LEGACY_REPOSITORIES)) return readLegacyArchive(archive)
  throw new StrataError(
    'invalidArgument',
    'STRATA_ARCHIVE_INVALID',
    `Cannot load "${name}": it has neither ${DOCKER_MANIFEST} nor ${IMAGE_LAYOUT.index} nor ${LEGACY_REPOSITORIES}`,
    { hint: 'For the tar of a root filesystem use `strata import`.' },
  )
}

/**
 * Makes sure that an archive can be read at any place: a plain file is used where it is, a stream or
 * a compressed file is written to `scratch` first, into a file without a name, which ends with this process at the latest.
 *
 * @param scratch an existing directory
 */
export async function plainArchive(source: string | ByteStream, scratch: string): Promise<PlainArchive> {
  const name = typeof source === 'string' ? source : 'standard input'
  if (typeof source === 'string' && detectCompression(await firstBytes(source)) === 'none') {
    return { path: source, name, [Symbol.asyncDispose]: async () => undefined }
  }
  const file = await openNameless(scratch)
  try {
    for await (const chunk of decompress(typeof source === 'string' ? fileStream(source) : source, { lent: true }))
      await file.writeFile(chunk)
  } catch (error) {
    await file.close()
    throw errnoOf(error) === undefined ? error : systemError(`read archive "${name}"`, error)
  }
  // Threads share descriptors: the workers open it by this path too.
  return { path: `/proc/self/fd/${file.fd}`, name, [Symbol.asyncDispose]: () => file.close() }
}

async function openNameless(directory: string): Promise<FileHandle> {
  const path = join(directory, `archive-${randomBytes(8).toString('hex')}`)
  try {
    const file = await open(path, 'wx+', 0o600)
    await rm(path)
    return file
  } catch (error) {
    throw systemError(`write "${path}"`, error)
  }
}

async function firstBytes(path: string): Promise<Uint8Array> {
  try {
    for await (const chunk of fileStream(path, { end: 64 })) return chunk
  } catch (error) {
    throw systemError(`read "${path}"`, error)
  }
  return new Uint8Array()
}
