import { createHash } from 'node:crypto'
import { helloExecutable } from '../../scripts/fixtures/helloExecutable.ts'
import { TAR_END } from '../../src/tar/index.ts'
import { imageName } from './catalogue.ts'
import { tarMember, tarOf } from './generatedTar.ts'
import { SeededRandom } from './random.ts'

/** A layer with one static executable. */
export function helloLayer(): Iterable<Uint8Array> {
  return tarOf([['hello', helloExecutable('hello world'), 0o755]])
}

/**
 * A stack of small layers: each adds 20 files to 30 directories, overwrites up to five of the layers below
 * and deletes up to three.
 */
export function manyLayers(count: number): readonly Iterable<Uint8Array>[] {
  const random = new SeededRandom(7)
  const visible: string[] = []
  const layers: Iterable<Uint8Array>[] = []
  for (let layer = 0; layer < count; layer += 1) {
    const files: (readonly [string, Uint8Array, number?])[] = layer === 0 ? [['hello', helloExecutable('hello world'), 0o755]] : []
    for (let change = 0; change < Math.min(8, visible.length); change += 1) {
      const path = random.take(visible)
      if (change < 5) files.push([path, Buffer.from(`overwritten in layer ${layer}\n`.repeat(30))])
      else files.push([path.replace(/([^/]+)$/, '.wh.$1'), Buffer.alloc(0)])
    }
    for (let file = 0; file < 20; file += 1) {
      const path = `data/d${random.between(0, 29)}/layer${layer}-file${file}.txt`
      files.push([path, Buffer.from(`layer ${layer} file ${file} `.repeat(random.between(20, 199)))])
      visible.push(path)
    }
    layers.push([...tarOf(files)])
  }
  return layers
}

/** A layer with one file, half of which compresses well and half not at all. */
export function* bigFileLayer(mebibytes: number): Generator<Uint8Array> {
  yield* tarMember('data/big.bin', mebibytes * 1024 ** 2, bigFileContent(mebibytes))
  yield TAR_END
}

function* bigFileContent(mebibytes: number): Generator<Uint8Array> {
  const random = new SeededRandom(11)
  const prose = Buffer.from('layers upon layers, each of them thin and each of them for ever, and on top one that changes; '.repeat(30))
  for (let mebibyte = 0; mebibyte < mebibytes; mebibyte += 1) {
    const pieces: Uint8Array[] = []
    for (let page = 0; page < 256; page += 1) {
      const start = (page * 7) % 400
      pieces.push(random.bytes(2048), prose.subarray(start, start + 2048))
    }
    yield Buffer.concat(pieces)
  }
}

/** A docker-archive of many images that have one layer in common and differ in a label. */
export function* manyImagesArchive(count: number): Generator<Uint8Array> {
  const layer = Buffer.concat([...helloLayer()])
  const diffId = createHash('sha256').update(layer).digest('hex')
  const files: (readonly [string, Uint8Array])[] = [[`${diffId}.tar`, layer]]
  const manifest: object[] = []
  for (let index = 0; index < count; index += 1) {
    const config = Buffer.from(
      JSON.stringify({
        created: new Date(Date.UTC(2024, 0, 1) + index * 1000).toISOString(),
        architecture: 'amd64',
        os: 'linux',
        config: { Cmd: ['/hello'], Labels: { number: String(index) } },
        rootfs: { type: 'layers', diff_ids: [`sha256:${diffId}`] },
        history: [{ created: '2024-01-01T00:00:00Z', created_by: 'hello' }],
      }),
    )
    const name = `${createHash('sha256').update(config).digest('hex')}.json`
    files.push([name, config])
    const tag = imageName(`img${String(index).padStart(4, '0')}`, `v${index % 7}`)
    manifest.push({ Config: name, RepoTags: [tag], Layers: [`${diffId}.tar`] })
  }
  yield* tarOf([...files, ['manifest.json', Buffer.from(JSON.stringify(manifest))]])
}
