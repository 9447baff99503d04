import type { CallOptions } from '../base/index.ts'
import { type DiffId, LIMITS, parseImageConfig, parseReference, type Reference } from '../oci/index.ts'
import { type ImageFiles, invalid } from './imageFiles.ts'
import type { DockerImage } from './impliedImage.ts'

/** The file that lists the images of a docker-archive. Docker image spec v1.2, "Combined Image JSON + Filesystem Changeset Format". */
export const DOCKER_MANIFEST = 'manifest.json'

interface Item {
  readonly Config: string
  readonly RepoTags: readonly string[]
  readonly Layers: readonly string[]
}

/** Reads the images of a docker-archive: `manifest.json` names config, tags and layer tars of each. A config that several have is read once. */
export async function readDockerArchive(archive: ImageFiles, { signal }: CallOptions): Promise<readonly DockerImage[]> {
  const items = parseItems(await archive.read(DOCKER_MANIFEST, LIMITS.indexBytes), archive.name)
  const configs = new Map<string, DockerConfig>()
  const images: DockerImage[] = []
  for (const { Config, RepoTags, Layers } of items) {
    signal?.throwIfAborted()
    const config = configs.get(Config) ?? (await readConfig(archive, Config))
    configs.set(Config, config)
    if (config.diffIds.length !== Layers.length)
      throw invalid(archive.name, `"${Config}" has ${config.diffIds.length} layers and ${DOCKER_MANIFEST} has ${Layers.length}`)
    const layers = Layers.map((name, index) => ({ diffId: config.diffIds[index]!, extent: archive.extent(name) }))
    images.push({ names: RepoTags.map(parseReference), configBytes: config.bytes, layers })
  }
  return images
}

interface DockerConfig {
  readonly bytes: Buffer
  readonly diffIds: readonly DiffId[]
}

async function readConfig(archive: ImageFiles, name: string): Promise<DockerConfig> {
  const bytes = await archive.read(name, LIMITS.configBytes)
  return { bytes, diffIds: parseImageConfig(bytes).rootfs.diff_ids }
}

/** The configs that a docker-archive lists, in its order, and the names that it gives each. */
export async function readDockerNames(
  archive: ImageFiles,
): Promise<readonly { readonly config: string; readonly names: readonly Reference[] }[]> {
  const items = parseItems(await archive.read(DOCKER_MANIFEST, LIMITS.indexBytes), archive.name)
  return items.map(({ Config, RepoTags }) => ({ config: Config, names: RepoTags.map(parseReference) }))
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
