import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { readAtMost, streamOf } from '../base/index.ts'
import type { BlobSource } from '../content/index.ts'
import { type Descriptor, describeBytes, type Digest, MEDIA_TYPES, parseManifestOrIndex } from '../oci/index.ts'
import { copyGraph, type GraphSink } from './copyGraph.ts'

/** A graph in memory: layers, images of them, an index of images or indexes. */
class Blobs implements BlobSource {
  readonly bytes = new Map<Digest, Buffer>()

  add(mediaType: string, bytes: Buffer): Descriptor {
    const descriptor = describeBytes(mediaType, bytes)
    this.bytes.set(descriptor.digest, bytes)
    return descriptor
  }

  image(layers: readonly string[]): Descriptor {
    const config = this.add(MEDIA_TYPES.config, Buffer.from(JSON.stringify({ layers })))
    const descriptors = layers.map(text => this.add(MEDIA_TYPES.layer, Buffer.from(text)))
    return this.document({ schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: descriptors })
  }

  index(manifests: readonly Descriptor[]): Descriptor {
    return this.document({ schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests })
  }

  document(value: { readonly mediaType: string; readonly [field: string]: unknown }): Descriptor {
    return this.add(value.mediaType, Buffer.from(JSON.stringify(value)))
  }

  async open({ digest }: Descriptor) {
    return streamOf(this.bytes.get(digest)!)
  }
}

/** Keeps what it takes; refuses a document before what it names. @param turn what a layer becomes on its way */
class Shelf extends Blobs implements GraphSink {
  readonly order: Digest[] = []
  readonly #turn: (bytes: Buffer) => Buffer

  constructor(turn: (bytes: Buffer) => Buffer = bytes => bytes) {
    super()
    this.#turn = turn
  }

  async take(target: Descriptor, source: BlobSource): Promise<Descriptor> {
    const bytes = await readAtMost(await source.open(target), 1e6)
    assert.equal(describeBytes(target.mediaType, bytes).digest, target.digest)
    this.checkWhole(bytes, target.mediaType)
    this.order.push(target.digest)
    return this.add(target.mediaType, target.mediaType === MEDIA_TYPES.layer ? this.#turn(bytes) : bytes)
  }

  /** Everything that a document names is here. */
  checkWhole(bytes: Buffer, mediaType: string): void {
    if (mediaType !== MEDIA_TYPES.manifest && mediaType !== MEDIA_TYPES.index) return
    const document = parseManifestOrIndex(bytes, mediaType)
    const named = document.kind === 'index' ? document.index.manifests : [...document.manifest.layers, document.manifest.config]
    for (const { digest } of named) assert.ok(this.bytes.has(digest), `${digest} comes before what names it`)
  }
}

const texts = fc.array(fc.string({ minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 4 })
const forests = fc.array(fc.oneof(texts, fc.array(texts, { minLength: 1, maxLength: 3 })), { minLength: 1, maxLength: 4 })

function build(blobs: Blobs, forest: readonly (readonly (string | readonly string[])[])[]): Descriptor {
  return blobs.index(
    forest.map(tree =>
      Array.isArray(tree[0]) ? blobs.index((tree as string[][]).map(each => blobs.image(each))) : blobs.image(tree as readonly string[]),
    ),
  )
}

test('everything below the root arrives, each blob once, nothing before what it names, the root unchanged', async () => {
  await fc.assert(
    fc.asyncProperty(forests, async forest => {
      const source = new Blobs()
      const root = build(source, forest)
      const shelf = new Shelf()
      const copied = await copyGraph(source, shelf, root)
      assert.deepEqual(copied.descriptor, root)
      assert.ok(copied.bytes.equals(source.bytes.get(root.digest)!))
      shelf.checkWhole(copied.bytes, root.mediaType)
      assert.deepEqual(new Set([...shelf.bytes.keys(), root.digest]), new Set(source.bytes.keys()))
      const blobs = shelf.order.filter(digest => !source.bytes.get(digest)!.includes('schemaVersion'))
      assert.equal(new Set(blobs).size, blobs.length)
    }),
  )
})

test('what becomes another blob on its way is named as such all the way up', async () => {
  await fc.assert(
    fc.asyncProperty(forests, async forest => {
      const source = new Blobs()
      const root = build(source, forest)
      const shelf = new Shelf(bytes => Buffer.concat([Buffer.from('packed '), bytes]))
      const copied = await copyGraph(source, shelf, root)
      assert.notEqual(copied.descriptor.digest, root.digest)
      assert.equal(copied.descriptor.digest, describeBytes(root.mediaType, copied.bytes).digest)
      shelf.checkWhole(copied.bytes, root.mediaType)
      const again = await copyGraph(shelf, new Shelf(), { ...shelf.add(root.mediaType, copied.bytes) })
      assert.deepEqual(again.descriptor, copied.descriptor)
    }),
  )
})

test('an index that loses entries is another one, and what only they name stays behind', async () => {
  const source = new Blobs()
  const [first, second] = [source.image(['a', 'common']), source.image(['b', 'common'])]
  const platform = { os: 'linux', architecture: 'arm64' }
  const root = source.index([first, { ...second, platform, annotations: { x: 'y' } }])
  const shelf = new Shelf()
  const copied = await copyGraph(source, shelf, root, { select: entry => entry.digest === second.digest })
  assert.deepEqual(JSON.parse(copied.bytes.toString()).manifests, [{ ...second, platform, annotations: { x: 'y' } }])
  assert.ok(!shelf.bytes.has(first.digest))
  assert.equal(shelf.bytes.size, 4)
})

test('an index that contains itself, or has a hundred levels, is refused before anything is copied', async () => {
  const source = new Blobs()
  let deep = source.image(['x'])
  for (let level = 0; level < 100; level += 1) deep = source.index([deep])
  const shelf = new Shelf()
  await assert.rejects(copyGraph(source, shelf, deep), { code: 'STRATA_MANIFEST_INVALID' })
  assert.equal(shelf.bytes.size, 0)
})

test('an index whose manifests together would fill the memory is refused before anything is copied', async () => {
  const source = new Blobs()
  const fill = 'x'.repeat(3_000_000)
  const manifests = Array.from({ length: 50 }, (_, n) =>
    source.document({ schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: [], n, fill }),
  )
  const shelf = new Shelf()
  await assert.rejects(copyGraph(source, shelf, source.index(manifests)), { kind: 'resourceExhausted', code: 'STRATA_TOO_LARGE' })
  assert.equal(shelf.bytes.size, 0)
})

test('the first failure ends the copy', async () => {
  const source = new Blobs()
  const root = source.image(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'])
  let taken = 0
  const sink: GraphSink = {
    async take() {
      taken += 1
      if (taken === 3) throw new Error('full')
      return new Promise((_, reject) => setTimeout(() => reject(new Error('later')), 5))
    },
  }
  await assert.rejects(copyGraph(source, sink, root), { message: 'full' })
  assert.ok(taken <= 5)
})

test('hostile #52: copyGraph() takes no blob that is said to have two sizes', async () => {
  const source = new Blobs()
  const config = source.add(MEDIA_TYPES.config, Buffer.from('{}'))
  const layer = source.add(MEDIA_TYPES.layer, Buffer.from('layer'))
  const [one, other] = [layer, { ...layer, size: layer.size + 1 }].map(each =>
    source.document({ schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: [each] }),
  )
  const root = source.index([one!, other!])
  const shelf = new Shelf()
  await assert.rejects(copyGraph(source, shelf, root), { code: 'STRATA_MANIFEST_INVALID' })
  assert.deepEqual(shelf.order, [])
})
