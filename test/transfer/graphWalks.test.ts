import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import * as fc from 'fast-check'
import { ArchiveSource } from '../../src/archive/index.ts'
import { readGraph } from '../../src/archive/readGraph.ts'
import { type ByteStream, Durability, streamOf } from '../../src/base/index.ts'
import { Stores } from '../../src/engine/stores.ts'
import { ImageStore } from '../../src/image/index.ts'
import { openMetadata, openRootDirectory } from '../../src/metadata/index.ts'
import { type Descriptor, describeBytes, type Digest, LIMITS, MEDIA_TYPES } from '../../src/oci/index.ts'
import { copyGraph, type GraphSink, type ImageSource, takeGraph } from '../../src/transfer/index.ts'

const scratch = mkdtempSync(join(tmpdir(), 'strata-walks-'))
const metadata = openMetadata(openRootDirectory(scratch), new Durability(false))
const stores = new Stores({ root: scratch, storageDriver: 'vfs', metadata, images: new ImageStore(metadata) })
after(() => {
  metadata.close()
  rmSync(scratch, { recursive: true, force: true })
})

/** A graph in memory, which counts how often each of its blobs is opened. */
class Graph implements ImageSource {
  readonly bytes = new Map<Digest, Buffer>()
  readonly opened = new Map<Digest, number>()
  readonly documents = new Set<Digest>()

  add(mediaType: string, value: object): Descriptor {
    const bytes = Buffer.from(JSON.stringify(value))
    const descriptor = describeBytes(mediaType, bytes)
    this.bytes.set(descriptor.digest, bytes)
    return descriptor
  }

  document(value: { readonly mediaType: string; readonly [field: string]: unknown }): Descriptor {
    const descriptor = this.add(value.mediaType, { schemaVersion: 2, ...value })
    this.documents.add(descriptor.digest)
    return descriptor
  }

  image(n: number): Descriptor {
    const config = { architecture: 'amd64', os: 'linux', author: String(n), rootfs: { type: 'layers', diff_ids: [] } }
    return this.document({ mediaType: MEDIA_TYPES.manifest, config: this.add(MEDIA_TYPES.config, config), layers: [] })
  }

  artifact(n: number): Descriptor {
    const config = this.add('application/vnd.oci.empty.v1+json', {})
    return this.document({ mediaType: MEDIA_TYPES.manifest, config, layers: [], annotations: { n: String(n) } })
  }

  index(manifests: readonly Descriptor[], n: number): Descriptor {
    return this.document({ mediaType: MEDIA_TYPES.index, manifests, annotations: { n: String(n) } })
  }

  async open({ digest }: Descriptor): Promise<ByteStream> {
    this.opened.set(digest, (this.opened.get(digest) ?? 0) + 1)
    return streamOf(this.bytes.get(digest)!)
  }

  /** Each document was read once, and none but the ones that were had already. */
  checkLinear(had: readonly Descriptor[] = []): void {
    const expected = new Set(this.documents)
    for (const { digest } of had) expected.delete(digest)
    for (const digest of expected) assert.equal(this.opened.get(digest), 1, `a document was read ${this.opened.get(digest)} times`)
    this.opened.clear()
  }
}

/** A sink that counts. */
class Counting implements GraphSink {
  readonly taken = new Map<Digest, number>()
  async take(target: Descriptor): Promise<Descriptor> {
    this.taken.set(target.digest, (this.taken.get(target.digest) ?? 0) + 1)
    return target
  }
}

const picks = fc.array(fc.tuple(fc.nat(), fc.constantFrom('', 'a', 'b')), { minLength: 1, maxLength: 12 })
/** Levels of indexes, each of which names any of what is below its level, again and again, and with other annotations. */
const levels = fc.array(fc.array(picks, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: LIMITS.indexDepth - 1 })

function build(shape: readonly (readonly (readonly (readonly [number, string])[])[])[]): { graph: Graph; root: Descriptor } {
  const graph = new Graph()
  let below: readonly Descriptor[] = [graph.image(0), graph.image(1), graph.artifact(0)]
  const all = [...below]
  let n = 0
  for (const level of shape) {
    below = level.map(entries => {
      const manifests = entries.map(([pick, note]) => ({ ...below[pick % below.length]!, annotations: { note } }))
      return graph.index(manifests, (n += 1))
    })
    all.push(...below)
  }
  return { graph, root: graph.index([...all, ...all], n + 1) }
}

test('a graph is walked in the time of its distinct documents, however often they are named', async () => {
  await fc.assert(
    fc.asyncProperty(levels, async shape => {
      const { graph, root } = build(shape)
      const sink = new Counting()
      await copyGraph(graph, sink, root)
      graph.checkLinear()
      for (const count of sink.taken.values()) assert.equal(count, 1)
      assert.equal(sink.taken.size, graph.bytes.size - 1)

      const archive = new ArchiveSource({
        title: 'archive "x"',
        form: 'oci-archive',
        roots: [],
        locate: digest => (graph.bytes.has(digest) ? { bytes: graph.bytes.get(digest)! } : undefined),
        close: async () => undefined,
      })
      archive.open = target => graph.open(target)
      const { manifests, isWhole } = await readGraph(archive, root, {})
      graph.checkLinear()
      assert.equal(isWhole, true)
      assert.equal(manifests.length, 3)
    }),
  )
})

test('takeGraph() reads each document once, and takes each image once', async () => {
  await fc.assert(
    fc.asyncProperty(levels, async shape => {
      const { graph, root } = build(shape)
      await using lease = stores.leases.create()
      const into = { content: stores.content, layers: stores.layers, snapshots: await stores.snapshots() }
      const bytes = graph.bytes.get(root.digest)!
      const taken = await takeGraph(graph, { descriptor: root, bytes }, into, { lease, platforms: 'all' })
      assert.equal(taken.length, 2)
      graph.checkLinear([root])
      for (const digest of graph.bytes.keys()) assert.ok(await stores.content.stat(digest), `${digest} did not come`)
    }),
    { numRuns: 15 },
  )
})

test('whoever calls a walk off is heard between two documents', async () => {
  const graph = new Graph()
  const root = graph.index(
    Array.from({ length: 20 }, (_, n) => graph.artifact(n)),
    0,
  )
  const controller = new AbortController()
  const open = graph.open.bind(graph)
  graph.open = target => {
    if (graph.opened.size === 5) controller.abort(new Error('enough'))
    return open(target)
  }
  await assert.rejects(copyGraph(graph, new Counting(), root, { signal: controller.signal }), { message: 'enough' })
  assert.equal(graph.opened.size, 6)
})

test('an index that stands too deep on one of its ways is refused, also where another way is short', async () => {
  const graph = new Graph()
  const chain = [graph.artifact(0)]
  for (let n = 1; n <= LIMITS.indexDepth; n += 1) chain.push(graph.index([chain.at(-1)!], n))
  await copyGraph(graph, new Counting(), chain.at(-1)!)
  // Each is found first right below the root.
  await assert.rejects(copyGraph(graph, new Counting(), graph.index(chain, 9)), {
    code: 'STRATA_MANIFEST_INVALID',
    message: /inside 4 others/,
  })
})

test('one digest is one thing, wherever in a graph it is named', async () => {
  const graph = new Graph()
  const image = graph.image(0)
  for (const other of [
    { ...image, size: image.size + 1 },
    { ...image, mediaType: MEDIA_TYPES.dockerManifest },
  ]) {
    const root = graph.index([graph.index([image], 1), graph.index([other], 2)], 3)
    await assert.rejects(copyGraph(graph, new Counting(), root), { code: 'STRATA_MANIFEST_INVALID', message: /is named with two/ })
  }
})
