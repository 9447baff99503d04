import { createHash } from 'node:crypto'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileStream } from '../../src/base/index.ts'
import { IMAGE_LAYOUT, IMAGE_LAYOUT_VERSION, MEDIA_TYPES } from '../../src/oci/index.ts'
import { TAR_END, tarPadding } from '../../src/tar/index.ts'
import { imageName } from './catalogue.ts'
import { tarHeader, tarMember } from './generatedTar.ts'
import { linkOrCopy, type StoredBytes, type Workshop, writeWhole } from './workshop.ts'

const CREATED = '2024-01-01T00:00:00Z'

function configOf(layers: readonly StoredBytes[], command: readonly string[]): Buffer {
  return Buffer.from(
    JSON.stringify({
      created: CREATED,
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      os: 'linux',
      config: { Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'], Cmd: command },
      rootfs: { type: 'layers', diff_ids: layers.map(layer => `sha256:${layer.hex}`) },
      history: layers.map((_, index) => ({ created: CREATED, created_by: `layer ${index}` })),
    }),
  )
}

/** Writes an OCI image layout with gzip layers at `path`; its one image is called `latest`. */
export async function writeLayout(
  workshop: Workshop,
  path: string,
  layers: readonly StoredBytes[],
  command: readonly string[],
): Promise<void> {
  const partial = `${path}.partial`
  await rm(partial, { recursive: true, force: true })
  const blobs = join(partial, 'blobs/sha256')
  await mkdir(blobs, { recursive: true })
  const put = async (mediaType: string, bytes: Buffer) => {
    const hex = createHash('sha256').update(bytes).digest('hex')
    await writeFile(join(blobs, hex), bytes)
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length }
  }
  const compressed: object[] = []
  for (const layer of layers) {
    const gzip = await workshop.gzipped(layer)
    await linkOrCopy(gzip.path, join(blobs, gzip.hex))
    compressed.push({ mediaType: MEDIA_TYPES.layerGzip, digest: `sha256:${gzip.hex}`, size: gzip.size })
  }
  const config = await put(MEDIA_TYPES.config, configOf(layers, command))
  const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: compressed }
  const descriptor = await put(MEDIA_TYPES.manifest, Buffer.from(JSON.stringify(manifest)))
  const named = { ...descriptor, annotations: { 'org.opencontainers.image.ref.name': 'latest' } }
  await writeFile(join(partial, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [named] }))
  await writeFile(join(partial, IMAGE_LAYOUT.header), JSON.stringify({ imageLayoutVersion: IMAGE_LAYOUT_VERSION }))
  await rename(partial, path)
}

/** Writes a docker-archive with plain layers at `path`; its image has the name that `imageName` gives. */
export async function writeArchive(path: string, name: string, layers: readonly StoredBytes[], command: readonly string[]): Promise<void> {
  await writeWhole(path, archiveBytes(name, layers, configOf(layers, command)))
}

async function* archiveBytes(name: string, layers: readonly StoredBytes[], config: Buffer): AsyncGenerator<Uint8Array> {
  for (const layer of new Map(layers.map(layer => [layer.hex, layer])).values()) {
    yield tarHeader(`${layer.hex}.tar`, layer.size)
    yield* fileStream(layer.path)
    yield tarPadding(layer.size)
  }
  const configName = `${createHash('sha256').update(config).digest('hex')}.json`
  yield* tarMember(configName, config.length, [config])
  const entry = { Config: configName, RepoTags: [imageName(name)], Layers: layers.map(layer => `${layer.hex}.tar`) }
  const manifest = Buffer.from(JSON.stringify([entry]))
  yield* tarMember('manifest.json', manifest.length, [manifest])
  yield TAR_END
}
