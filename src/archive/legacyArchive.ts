import { createHash } from 'node:crypto'
import type { CallOptions } from '../base/index.ts'
import { decompress } from '../compression/index.ts'
import { type DiffId, LIMITS, parseDiffId, parseImageConfig, parseReference, type Reference } from '../oci/index.ts'
import { type ImageFiles, invalid } from './imageFiles.ts'
import type { DockerImage } from './impliedImage.ts'

/** Names the images of archives from before Docker 1.10: repository → tag → id of the top layer. Docker image spec v1. */
export const LEGACY_REPOSITORIES = 'repositories'

interface LegacyLayer {
  readonly id: string
  readonly json: Readonly<Record<string, unknown>>
}

/**
 * Reads an archive in which every layer is an image of its own, with a parent: `<id>/json` and
 * `<id>/layer.tar`. The config of today is made of the top layer's JSON, as Docker does since 1.10;
 * DiffIds are computed here, since nothing in the archive has them.
 */
export async function readLegacyArchive(archive: ImageFiles, options: CallOptions): Promise<readonly DockerImage[]> {
  const tops = new Map<string, Reference[]>()
  for (const [repository, tags] of Object.entries(await readJson(archive, LEGACY_REPOSITORIES))) {
    for (const [tag, id] of Object.entries(tags ?? {})) {
      if (typeof id !== 'string') throw invalid(archive.name, `tag "${tag}" of "${LEGACY_REPOSITORIES}" names no layer`)
      tops.set(id, [...(tops.get(id) ?? []), parseReference(`${repository}:${tag}`)])
    }
  }
  const images: DockerImage[] = []
  const hashed = new Map<string, DiffId>()
  for (const [top, names] of tops) images.push(await readImage(archive, { top, names, hashed }, options))
  return images
}

async function readImage(
  archive: ImageFiles,
  { top, names, hashed }: { readonly top: string; readonly names: readonly Reference[]; readonly hashed: Map<string, DiffId> },
  options: CallOptions,
): Promise<DockerImage> {
  const stack = await readStack(archive, top)
  const layers = []
  for (const { id } of stack) {
    const extent = archive.extent(`${id}/layer.tar`)
    // Images have layers in common.
    const diffId = hashed.get(id) ?? (await diffIdOf(archive, `${id}/layer.tar`, options))
    hashed.set(id, diffId)
    layers.push({ diffId, extent })
  }
  const configBytes = Buffer.from(
    JSON.stringify(
      configOf(
        stack,
        layers.map(layer => layer.diffId),
      ),
    ),
  )
  parseImageConfig(configBytes)
  return { names, configBytes, layers }
}

/** The layers from the base up. */
async function readStack(archive: ImageFiles, top: string): Promise<readonly LegacyLayer[]> {
  const stack: LegacyLayer[] = []
  for (let id: string | undefined = top; id !== undefined;) {
    if (!LEGACY_ID.test(id)) throw invalid(archive.name, `"${id}" is no layer id`)
    if (stack.length >= LIMITS.layers) throw invalid(archive.name, `an image has more than ${LIMITS.layers} layers`)
    const json = await readJson(archive, `${id}/json`)
    stack.unshift({ id, json })
    id = typeof json['parent'] === 'string' && json['parent'] !== '' ? json['parent'] : undefined
  }
  return stack
}

/** Ids are used as names in the archive: nothing but 64 hex digits is one (CVE-2014-9358). */
const LEGACY_ID = /^[0-9a-f]{64}$/

/** What a legacy JSON has and a config of today has not. */
const LEGACY_FIELDS: ReadonlySet<string> = new Set(['id', 'parent', 'Size', 'parent_id', 'layer_id', 'throwaway'])

function configOf(stack: readonly LegacyLayer[], diffIds: readonly DiffId[]): object {
  const top = stack.at(-1)!.json
  const kept = Object.entries(top).filter(([name]) => !LEGACY_FIELDS.has(name))
  return {
    architecture: 'amd64',
    os: 'linux',
    ...Object.fromEntries(kept),
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: stack.map(({ json }) => historyOf(json)),
  }
}

function historyOf(json: Readonly<Record<string, unknown>>): object {
  const command = (json['container_config'] as { Cmd?: unknown } | undefined)?.Cmd
  return {
    ...pick(json, 'created'),
    ...pick(json, 'author'),
    ...pick(json, 'comment'),
    ...(Array.isArray(command) ? { created_by: command.join(' ') } : {}),
  }
}

function pick(json: Readonly<Record<string, unknown>>, name: string): object {
  return typeof json[name] === 'string' && json[name] !== '' ? { [name]: json[name] } : {}
}

async function diffIdOf(archive: ImageFiles, name: string, { signal }: CallOptions): Promise<DiffId> {
  const sha = createHash('sha256')
  for await (const chunk of decompress(archive.open(name))) {
    signal?.throwIfAborted()
    sha.update(chunk)
  }
  return parseDiffId(`sha256:${sha.digest('hex')}`)
}

async function readJson(archive: ImageFiles, name: string): Promise<Readonly<Record<string, unknown>>> {
  const bytes = await archive.read(name, LIMITS.configBytes)
  try {
    const parsed: unknown = JSON.parse(bytes.toString())
    if (typeof parsed === 'object' && parsed !== null) return parsed as Readonly<Record<string, unknown>>
  } catch (cause) {
    throw invalid(archive.name, `"${name}" is not JSON`, cause)
  }
  throw invalid(archive.name, `"${name}" is no JSON object`)
}
