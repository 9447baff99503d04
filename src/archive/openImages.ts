import { type Stats, statSync } from 'node:fs'
import { type ByteStream, type CallOptions, errnoOf, fileStream, interruptible, StrataError, systemError } from '../base/index.ts'
import { decompress, detectCompression } from '../compression/index.ts'
import { blobPath, type Digest, IMAGE_LAYOUT } from '../oci/index.ts'
import { GraphWalk } from '../transfer/index.ts'
import { ArchiveFile } from './archiveFile.ts'
import { DirectoryFiles } from './directoryFiles.ts'
import { isDirectoryImage, readDirectoryImage } from './directoryFormat.ts'
import { DOCKER_MANIFEST, readDockerArchive, readDockerNames } from './dockerArchive.ts'
import type { ImageFiles } from './imageFiles.ts'
import { type ArchivedRoot, type BlobPlace, ArchiveSource } from './archiveSource.ts'
import { type DockerImage, impliedImages } from './impliedImage.ts'
import { layoutRoots, readLayoutIndex } from './layoutRoots.ts'
import { LEGACY_REPOSITORIES, readLegacyArchive } from './legacyArchive.ts'
import { isDocumentOf } from './readGraph.ts'
import { openScratchFile } from './scratchFile.ts'
import { SinceMark } from './sinceMark.ts'

/**
 * Opens what images are kept in: a docker-archive, old ones too, an OCI layout in a tar or in a directory, or a `dir:` directory.
 * An archive with both forms (Docker writes that since 25) is read as the OCI layout that it is, so that manifests keep their
 * digests. Layers are read where they lie; a stream or a compressed archive is written to `scratch` first.
 *
 * @param source the path of a file, a pipe or a directory, or the bytes of an archive
 * @param scratch an existing directory
 * Rejects with `invalidArgument` (STRATA_ARCHIVE_INVALID) for what holds no images, and `dataLoss` for what lacks something.
 */
export async function openImages(source: string | ByteStream, scratch: string, options: CallOptions = {}): Promise<ArchiveSource> {
  const facts = typeof source === 'string' ? factsOf(source) : undefined
  if (typeof source === 'string' && facts?.isDirectory()) return readImages(new DirectoryFiles(source), async () => undefined, options)
  const plain = await plainArchive(source, { scratch, isFile: facts?.isFile() === true }, options)
  const close = async (): Promise<void> => plain[Symbol.asyncDispose]()
  try {
    return await readImages(await ArchiveFile.open(plain.path, plain.name), close, options)
  } catch (error) {
    await close()
    throw error
  }
}

function factsOf(path: string): Stats {
  try {
    return statSync(path)
  } catch (error) {
    throw systemError(`read "${path}"`, error)
  }
}

async function readImages(files: ImageFiles, close: () => Promise<void>, options: CallOptions): Promise<ArchiveSource> {
  if (files.has(IMAGE_LAYOUT.header) && files.has(IMAGE_LAYOUT.index)) return readLayout(files, close, options)
  if (await isDirectoryImage(files))
    return new ArchiveSource({ title: files.name, form: 'dir', close, ...(await readDirectoryImage(files)) })
  if (files instanceof ArchiveFile && files.has(DOCKER_MANIFEST))
    return implied(await readDockerArchive(files, options), { title: files.name, close }, options)
  if (files instanceof ArchiveFile && files.has(LEGACY_REPOSITORIES))
    return implied(await readLegacyArchive(files, options), { title: files.name, close }, options)
  throw new StrataError(
    'invalidArgument',
    'STRATA_ARCHIVE_INVALID',
    `Cannot load ${files.name}: it has neither ${DOCKER_MANIFEST} nor ${IMAGE_LAYOUT.index} nor ${LEGACY_REPOSITORIES}`,
    { hint: 'For the tar of a root filesystem use `strata import`.' },
  )
}

async function implied(
  images: readonly DockerImage[],
  source: { readonly title: string; readonly close: () => Promise<void> },
  options: CallOptions,
): Promise<ArchiveSource> {
  const { roots, places } = await impliedImages(images, options)
  return new ArchiveSource({ ...source, form: 'docker-archive', roots, locate: digest => places.get(digest) })
}

async function readLayout(files: ImageFiles, close: () => Promise<void>, options: CallOptions): Promise<ArchiveSource> {
  const index = await readLayoutIndex(files)
  const locate = (digest: Digest): BlobPlace | undefined => {
    const path = blobPath(digest)
    return files.has(path) ? { extent: files.extent(path) } : undefined
  }
  const form = files instanceof ArchiveFile ? ('oci-archive' as const) : ('oci' as const)
  const content = { title: files.name, form, since: SinceMark.read(index.annotations), locate, close }
  const roots = layoutRoots(index)
  if (!files.has(DOCKER_MANIFEST)) return new ArchiveSource({ ...content, roots: roots.map((root, position) => ({ ...root, position })) })
  const listed = await readDockerNames(files)
  return new ArchiveSource({ ...content, roots: await namedByDocker(new ArchiveSource({ ...content, roots }), listed, options) })
}

/** What index.json leaves without a name has the one that docker's own list gives it, where an archive has both. */
async function namedByDocker(
  source: ArchiveSource,
  listed: Awaited<ReturnType<typeof readDockerNames>>,
  options: CallOptions,
): Promise<readonly ArchivedRoot[]> {
  const positions = new Map<string, number>()
  for (const [position, { config }] of listed.entries()) if (!positions.has(config)) positions.set(config, position)
  // The first on the list that is below a document.
  const walk = new GraphWalk<number>(
    source,
    {
      enter: ({ manifests }) => manifests.filter(entry => isDocumentOf(source, entry)),
      leave: ({ document }, below) => {
        if (document.kind === 'manifest') return positions.get(blobPath(document.manifest.config.digest)) ?? Infinity
        return document.index.manifests.reduce((least, entry) => Math.min(least, below(entry) ?? Infinity), Infinity)
      },
    },
    options,
  )
  const named: ArchivedRoot[] = []
  for (const root of source.roots) {
    const position = isDocumentOf(source, root.descriptor) ? await walk.visit(root.descriptor) : Infinity
    const names = root.names.length > 0 ? root.names : (listed[position]?.names ?? [])
    named.push({ ...root, names, ...(position === Infinity ? {} : { position }) })
  }
  return named
}

/** An archive that lies as a plain tar on disk; disposing removes what was written for that. */
interface PlainArchive extends AsyncDisposable {
  readonly path: string
  /** What messages call it. */
  readonly name: string
}

/**
 * Makes sure that an archive can be read at any place: a plain file is used where it is; a stream, which a pipe is by its
 * path, too, or a compressed file is written to `scratch` first, into a file without a name, which ends with this process at
 * the latest.
 */
async function plainArchive(
  source: string | ByteStream,
  { scratch, isFile }: { readonly scratch: string; readonly isFile: boolean },
  { signal }: CallOptions,
): Promise<PlainArchive> {
  const name = typeof source === 'string' ? source : 'standard input'
  if (typeof source === 'string' && isFile && detectCompression(await firstBytes(source)) === 'none') {
    return { path: source, name, [Symbol.asyncDispose]: async () => undefined }
  }
  const file = await openScratchFile(scratch)
  try {
    const bytes = typeof source === 'string' ? fileStream(source) : source
    for await (const chunk of decompress(signal === undefined ? bytes : interruptible(bytes, signal), { lent: true }))
      await file.write(chunk)
  } catch (error) {
    await file[Symbol.asyncDispose]()
    throw errnoOf(error) === undefined ? error : systemError(`read archive "${name}"`, error)
  }
  return { path: file.path, name, [Symbol.asyncDispose]: () => file[Symbol.asyncDispose]() }
}

async function firstBytes(path: string): Promise<Uint8Array> {
  try {
    for await (const chunk of fileStream(path, { end: 64 })) return chunk
  } catch (error) {
    throw systemError(`read "${path}"`, error)
  }
  return new Uint8Array()
}
