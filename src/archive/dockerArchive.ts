import { StrataError } from '../base/index.ts'
import { LIMITS, parseImageConfig, parseReference, type Reference } from '../oci/index.ts'
import type { ArchiveFile } from './archiveFile.ts'
import type { ArchivedImage } from './archivedImage.ts'

/** The file that lists the images of a docker-archive. Docker image spec v1.2, "Combined Image JSON + Filesystem Changeset Format". */
export const DOCKER_MANIFEST = 'manifest.json'

interface Item {
  readonly Config: string
  readonly RepoTags: readonly string[]
  readonly Layers: readonly string[]
}

/** Reads the images of a docker-archive: `manifest.json` names config, tags and layer tars of each. */
export async function readDockerArchive(archive: ArchiveFile): Promise<readonly ArchivedImage[]> {
  const items = parseItems(await archive.read(DOCKER_MANIFEST, LIMITS.indexBytes), archive.name)
  return Promise.all(items.map(item => readItem(archive, item)))
}

/** The names of each image of a docker-archive, by the path of its config. */
export async function readDockerNames(archive: ArchiveFile): Promise<ReadonlyMap<string, readonly Reference[]>> {
  const items = parseItems(await archive.read(DOCKER_MANIFEST, LIMITS.indexBytes), archive.name)
  return new Map(items.map(({ Config, RepoTags }) => [Config, RepoTags.map(parseReference)]))
}

async function readItem(archive: ArchiveFile, item: Item): Promise<ArchivedImage> {
  const configBytes = await archive.read(item.Config, LIMITS.configBytes)
  const config = parseImageConfig(configBytes)
  const diffIds = config.rootfs.diff_ids
  if (diffIds.length !== item.Layers.length) {
    throw invalid(archive.name, `"${item.Config}" has ${diffIds.length} layers and ${DOCKER_MANIFEST} has ${item.Layers.length}`)
  }
  const layers = item.Layers.map((name, index) => ({ diffId: diffIds[index]!, descriptor: undefined, extent: archive.extent(name) }))
  return { names: item.RepoTags.map(parseReference), config, configBytes, manifest: undefined, layers }
}

function parseItems(bytes: Buffer, path: string): readonly Item[] {
  let parsed: unknown
  try {
    parsed = JSON.parse(bytes.toString())
  } catch (cause) {
    throw invalid(path, `${DOCKER_MANIFEST} is not JSON`, cause)
  }
  if (!Array.isArray(parsed)) throw invalid(path, `${DOCKER_MANIFEST} is not a list`)
  return parsed.map((item: Readonly<Record<string, unknown>> | null) => {
    const { Config, RepoTags, Layers } = item ?? {}
    if (typeof Config !== 'string' || !isTexts(Layers) || !(RepoTags === null || RepoTags === undefined || isTexts(RepoTags))) {
      throw invalid(path, `an item of ${DOCKER_MANIFEST} lacks Config, RepoTags or Layers`)
    }
    return { Config, RepoTags: RepoTags ?? [], Layers }
  })
}

const isTexts = (value: unknown): value is readonly string[] => Array.isArray(value) && value.every(each => typeof each === 'string')

/** An archive that contradicts itself or the format. */
export function invalid(path: string, state: string, cause?: unknown): StrataError {
  return new StrataError('invalidArgument', 'STRATA_ARCHIVE_INVALID', `Cannot read archive "${path}": ${state}`, { cause })
}
