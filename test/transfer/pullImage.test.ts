import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { isStrataError, type Progress, streamOf } from '../../src/base/index.ts'
import { collectGarbage } from '../../src/engine/garbage.ts'
import { Stores } from '../../src/engine/stores.ts'
import { CURRENT_DIRECTORY, removeTree } from '../../src/host/index.ts'
import { type ImageFacts, ImageStore } from '../../src/image/index.ts'
import { openMetadata, openRootDirectory } from '../../src/metadata/index.ts'
import { type Descriptor, describeBytes, digestOf, MEDIA_TYPES, parseDiffId, parseReference } from '../../src/oci/index.ts'
import { connectRepository } from '../../src/registry/index.ts'
import { pullImage, resolveRemoteImage } from '../../src/transfer/index.ts'
import { lyingServer } from '../support/lyingServer.ts'
import { checkStore, storedFiles } from '../support/storeCheck.ts'
import { tarOf } from '../support/tars.ts'

let scratch: string
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'strata-pull-'))
})
after(() => removeTree(CURRENT_DIRECTORY, scratch))

let opened = 0
function openStores(root = join(scratch, `root${(opened += 1)}`), storageDriver?: string): Stores & Disposable {
  const metadata = openMetadata(openRootDirectory(root))
  const stores = new Stores({ root, storageDriver, metadata, images: new ImageStore(metadata) })
  return Object.assign(stores, { [Symbol.dispose]: () => metadata.close() })
}

/** An image, with the blobs that a registry gives out for it. */
interface Published {
  readonly blobs: ReadonlyMap<string, Buffer>
  readonly manifest: Buffer
  readonly layers: readonly Descriptor[]
  readonly tars: readonly Buffer[]
}

function publish(
  tars: readonly Buffer[],
  { diffIds = tars.map(tar => digestOf(tar)), plain = false }: { diffIds?: readonly string[]; plain?: boolean } = {},
): Published {
  const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: diffIds } }))
  const packed = tars.map(tar => (plain ? tar : gzipSync(tar)))
  const layers = packed.map(bytes => describeBytes(plain ? MEDIA_TYPES.layer : MEDIA_TYPES.layerGzip, bytes))
  const described = describeBytes(MEDIA_TYPES.config, config)
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config: described, layers }))
  const blobs = new Map([[described.digest, config] as const, ...packed.map((bytes, index) => [layers[index]!.digest, bytes] as const)])
  return { blobs, manifest, layers, tars }
}

type Answer = (request: IncomingMessage, response: ServerResponse) => void

/** Gives an image out; `instead` may answer a request for a blob otherwise, and says so. */
function registryOf(image: Published, seen: string[], instead?: (digest: string, ...what: Parameters<Answer>) => boolean): Answer {
  return (request, response) => {
    const path = request.url ?? ''
    if (path.includes('/manifests/')) {
      response.writeHead(200, { 'content-type': MEDIA_TYPES.manifest }).end(image.manifest)
      return
    }
    const digest = path.split('/').at(-1)!
    seen.push(`${digest}${request.headers.range ?? ''}`)
    if (instead?.(digest, request, response) === true) return
    const bytes = image.blobs.get(digest)
    if (bytes === undefined) {
      response.writeHead(404).end()
      return
    }
    const start = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
    response.writeHead(start === 0 ? 200 : 206, {
      'content-length': bytes.length - start,
      'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}`,
    })
    response.end(bytes.subarray(start))
  }
}

async function pull(
  stores: Stores,
  address: string,
  more: { signal?: AbortSignal; onProgress?: (progress: Progress) => void } = {},
): Promise<ImageFacts> {
  const reference = parseReference(`${address}/app:1`)
  await using repository = await connectRepository(reference, { configDirectory: scratch, access: 'pull' })
  const image = await resolveRemoteImage(repository, reference, { platform: { os: 'linux', architecture: 'amd64' } })
  await using lease = stores.leases.create()
  const { content, layers } = stores
  const facts = await pullImage(repository, image, { content, layers, snapshots: await stores.snapshots() }, { lease, ...more })
  stores.recordImage(facts, [reference])
  return facts
}

async function assertEmptied(stores: Stores): Promise<void> {
  assert.deepEqual(stores.images.list(), [])
  await collectGarbage(stores, { containers: () => [], interrupted: true })
  assert.deepEqual(storedFiles(stores.root), [])
}

const ONE = tarOf({ one: randomBytes(200_000) })
const TWO = tarOf({ two: 'two', 'dir/three': 'three' })

test('pullImage() brings all blobs and layers of an image, and says what it does in the words of docker', async () => {
  const image = publish([ONE, TWO])
  await using server = await lyingServer(registryOf(image, []))
  using stores = openStores()
  const said: Progress[] = []
  const facts = await pull(stores, server.address, { onProgress: progress => said.push(progress) })
  assert.equal(facts.manifest.digest, digestOf(image.manifest))
  assert.deepEqual(
    facts.diffIds,
    image.tars.map(tar => digestOf(tar)),
  )
  for (const [digest, bytes] of image.blobs) {
    const blob = await stores.content.stat(digest as Descriptor['digest'])
    assert.deepEqual([blob?.state, blob?.size], ['kept', bytes.length])
  }
  for (const [index, { digest }] of image.layers.entries()) assert.equal(stores.content.diffIdOf(digest), digestOf(image.tars[index]!))
  for (const { digest } of image.layers) {
    const words = said.filter(({ id }) => id === digest.slice(7, 19)).map(({ status }) => status)
    assert.deepEqual([...new Set(words)], ['Pulling fs layer', 'Downloading', 'Download complete', 'Pull complete'])
  }
  const last = said.findLast(({ status, id }) => status === 'Downloading' && id === image.layers[0]!.digest.slice(7, 19))
  assert.deepEqual([last?.current, last?.total], [image.layers[0]!.size, image.layers[0]!.size])
  assert.deepEqual((await checkStore(stores.root)).faults, [])

  const again: string[] = []
  await pull(stores, server.address, { onProgress: ({ status }) => again.push(status) })
  assert.deepEqual([...new Set(again)], ['Already exists'])
})

test('pullImage() fetches a layer once that an image has twice', async () => {
  const seen: string[] = []
  const image = publish([ONE, TWO, ONE, TWO])
  await using server = await lyingServer(registryOf(image, seen))
  using stores = openStores()
  await pull(stores, server.address)
  for (const { digest } of image.layers) assert.equal(seen.filter(each => each.startsWith(digest)).length, 1)
  assert.deepEqual((await checkStore(stores.root)).faults, [])
})

test('pullImage() keeps a layer that is a plain tar once, and the blob is derived from it', async () => {
  const image = publish([ONE], { plain: true })
  await using server = await lyingServer(registryOf(image, []))
  using stores = openStores()
  await pull(stores, server.address)
  assert.equal((await stores.content.stat(image.layers[0]!.digest))?.state, 'derivable')
  assert.ok(Buffer.concat(await Array.fromAsync(await stores.content.open(image.layers[0]!))).equals(ONE))
})

test('pullImage() fetches the blob of a layer that is here in another form, and looks whether it is that layer', async () => {
  for (const isRight of [true, false]) {
    using stores = openStores()
    await using plainServer = await lyingServer(registryOf(publish([ONE], { plain: true }), []))
    await pull(stores, plainServer.address)
    const image = publish([isRight ? ONE : TWO], { diffIds: [digestOf(ONE)] })
    await using server = await lyingServer(registryOf(image, []))
    const pulled = pull(stores, server.address)
    if (isRight) {
      await pulled
      assert.equal((await stores.content.stat(image.layers[0]!.digest))?.state, 'kept')
    } else {
      await assert.rejects(pulled, { kind: 'dataLoss', code: 'STRATA_DIFF_ID_MISMATCH' })
      assert.equal(await stores.content.stat(image.layers[0]!.digest), undefined)
      assert.equal(stores.images.list().length, 1)
    }
  }
})

test('hostile #53: pullImage() keeps nothing of an image whose layer is another than its config says', async () => {
  const image = publish([ONE, TWO], { diffIds: [digestOf(ONE), `sha256:${'0'.repeat(64)}`] })
  await using server = await lyingServer(registryOf(image, []))
  using stores = openStores()
  await assert.rejects(pull(stores, server.address), { kind: 'dataLoss', code: 'STRATA_DIFF_ID_MISMATCH' })
  assert.equal(stores.layers.get(parseDiffId(digestOf(ONE))), undefined, 'not even the layer that is right')
  await assertEmptied(stores)
})

test('hostile #53: pullImage() takes no blob that is here for another layer that is here too', async () => {
  using stores = openStores()
  for (const tar of [ONE, TWO]) {
    await using server = await lyingServer(registryOf(publish([tar]), []))
    await pull(stores, server.address)
  }
  const [blob, diffId] = [publish([ONE]).layers[0]!.digest, digestOf(TWO)]
  await using server = await lyingServer(registryOf(publish([ONE], { diffIds: [diffId] }), []))
  await assert.rejects(pull(stores, server.address), { kind: 'dataLoss', code: 'STRATA_DIFF_ID_MISMATCH' })
  assert.equal(stores.content.diffIdOf(blob), digestOf(ONE))
  assert.equal(stores.images.list().length, 2)
})

test('pullImage() has the blob of a plain layer that its manifest calls a compressed one', async () => {
  using stores = openStores()
  await using first = await lyingServer(registryOf(publish([ONE]), []))
  await pull(stores, first.address)
  const plain = publish([ONE], { plain: true })
  const manifest = Buffer.from(plain.manifest.toString().replace(`"${MEDIA_TYPES.layer}"`, `"${MEDIA_TYPES.layerGzip}"`))
  await using server = await lyingServer(registryOf({ ...plain, manifest }, []))
  await pull(stores, server.address)
  assert.equal((await stores.content.stat(plain.layers[0]!.digest))?.state, 'kept')
})

for (const plain of [false, true]) {
  test(`hostile #52: pullImage() takes no ${plain ? 'plain layer' : 'layer'} under a wrong size, whether it is here or not`, async () => {
    const image = publish([ONE], { plain })
    const { size } = image.layers[0]!
    for (const [isHere, wrong, driver] of [
      [true, 3],
      [true, 9e15],
      [false, 3],
      [false, 3, 'vfs'],
    ] as const) {
      using stores = openStores(undefined, driver)
      if (isHere) {
        await using server = await lyingServer(registryOf(image, []))
        await pull(stores, server.address)
      }
      const manifest = Buffer.from(image.manifest.toString().replace(`"size":${size}`, `"size":${wrong}`))
      await using server = await lyingServer(registryOf({ ...image, manifest }, []))
      await assert.rejects(pull(stores, server.address), { kind: 'dataLoss' }, `${wrong}`)
      const left = stores.images.list().map(facts => facts.manifest.digest)
      assert.deepEqual(left, isHere ? [digestOf(image.manifest)] : [])
      if (!isHere) await assertEmptied(stores)
      else assert.equal(Buffer.concat(await Array.fromAsync(await stores.content.open(image.layers[0]!))).length, size)
    }
  })
}

test('hostile #53: a pull ends whose lowest layer is not to be had, whichever driver waits for it', async () => {
  const image = publish([ONE, TWO, tarOf({ top: 'top' })])
  await using server = await lyingServer(
    registryOf(image, [], (digest, _, response) => {
      if (digest !== image.layers[0]!.digest) return false
      response.writeHead(404).end()
      return true
    }),
  )
  for (const driver of ['vfs', undefined]) {
    using stores = openStores(undefined, driver)
    await assert.rejects(pull(stores, server.address), { name: 'StrataError' })
    await assertEmptied(stores)
  }
})

test('hostile #52: pullImage() keeps nothing of a blob whose bytes are others, more or fewer', async () => {
  const image = publish([ONE, TWO])
  const lies: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
    others: bytes => Buffer.concat([bytes.subarray(0, -1), Buffer.of(bytes.at(-1)! ^ 1)]),
    more: bytes => Buffer.concat([bytes, Buffer.of(0)]),
    fewer: bytes => bytes.subarray(0, -1),
  }
  // The second layer is a small one.
  const cases = image.layers.flatMap(target => Object.entries(lies).map(([title, lie]) => ({ target, title, lie })))
  for (const { target, title, lie } of cases) {
    await using server = await lyingServer(
      registryOf(image, [], (digest, _, response) => {
        if (digest !== target.digest) return false
        response.end(lie(image.blobs.get(digest)!))
        return true
      }),
    )
    using stores = openStores()
    await assert.rejects(pull(stores, server.address), error => isStrataError(error), title)
    assert.equal(await stores.content.stat(target.digest), undefined)
    await assertEmptied(stores)
  }
})

test('hostile #59: pullImage() goes on where an earlier one was broken off', async () => {
  const image = publish([ONE])
  const target = image.layers[0]!
  const half = Math.floor(target.size / 2)
  using stores = openStores()
  const abort = new AbortController()
  {
    await using server = await lyingServer(
      registryOf(image, [], (digest, _, response) => {
        if (digest !== target.digest) return false
        response.writeHead(200, { 'content-length': target.size })
        response.write(image.blobs.get(digest)!.subarray(0, half))
        return true
      }),
    )
    const onProgress = ({ current = 0 }: Progress): void => {
      if (current >= half) setTimeout(() => abort.abort(), 200)
    }
    await assert.rejects(pull(stores, server.address, { signal: abort.signal, onProgress }))
    assert.deepEqual(stores.images.list(), [])
    assert.equal(await stores.content.stat(target.digest), undefined)
  }
  const seen: string[] = []
  await using server = await lyingServer(registryOf(image, seen))
  await pull(stores, server.address)
  const ranges = seen.filter(each => each.startsWith(target.digest)).map(each => each.slice(target.digest.length))
  assert.equal(ranges.length, 1)
  assert.match(ranges[0]!, /^bytes=[1-9]\d*-$/)
  assert.deepEqual((await checkStore(stores.root)).faults, [])
})

test('hostile #68: pullImage() goes on where an earlier one was killed while it wrote the manifest', async () => {
  const image = publish([ONE])
  const bytes = image.manifest
  const target = describeBytes(MEDIA_TYPES.manifest, bytes)
  for (const left of [bytes, bytes.subarray(0, 100), Buffer.alloc(bytes.length)]) {
    using stores = openStores()
    {
      await using ingest = await stores.content.ingest(target.digest, { target })
      await ingest.write(streamOf(left))
    }
    await using server = await lyingServer(registryOf(image, []))
    await pull(stores, server.address)
    assert.deepEqual((await checkStore(stores.root)).faults, [])
  }
})

test('hostile #68: pullImage() asks for nothing of a blob that had come whole when an earlier one was killed', async () => {
  const image = publish([ONE])
  const target = image.layers[0]!
  using stores = openStores()
  {
    await using ingest = await stores.content.ingest(target.digest, { target })
    await ingest.write(streamOf(image.blobs.get(target.digest)!))
  }
  const seen: string[] = []
  await using server = await lyingServer(registryOf(image, seen))
  await pull(stores, server.address)
  assert.deepEqual(
    seen.filter(each => each.startsWith(target.digest)),
    [],
  )
  assert.deepEqual((await checkStore(stores.root)).faults, [])
})

test('pullImage() keeps what has come of a layer when another one turns out to be wrong', async () => {
  const image = publish([ONE, tarOf({ other: randomBytes(400_000) })])
  const [wrong, good] = image.layers
  const half = good!.size / 2
  let cameHalf = false
  await using server = await lyingServer(
    registryOf(image, [], (digest, _, response) => {
      if (digest === good!.digest) {
        response.writeHead(200, { 'content-length': good!.size })
        response.write(image.blobs.get(digest)!.subarray(0, half))
      } else if (digest === wrong!.digest) {
        const bad = Buffer.from(image.blobs.get(digest)!)
        bad[5000]! ^= 1
        // When the other one is on its way.
        const send = (): unknown => (cameHalf ? response.end(bad) : setTimeout(send, 20))
        send()
      }
      return digest === good!.digest || digest === wrong!.digest
    }),
  )
  using stores = openStores()
  const onProgress = ({ current = 0 }: Progress): void => {
    if (current >= Math.floor(half)) setTimeout(() => (cameHalf = true), 100)
  }
  await assert.rejects(pull(stores, server.address, { onProgress }), { kind: 'dataLoss' })
  await using ingest = await stores.content.ingest(good!.digest, { target: good! })
  assert.ok(ingest.size > 100_000, `${ingest.size} bytes`)
  await using other = await stores.content.ingest(wrong!.digest, { target: wrong! })
  assert.equal(other.size, 0)
})

test('pullImage() on vfs fails when a layer does not come that others wait for', async () => {
  const image = publish([ONE, TWO])
  await using server = await lyingServer(
    registryOf(image, [], (digest, _, response) => {
      if (digest !== image.layers[0]!.digest) return false
      setTimeout(() => response.writeHead(404).end(), 200)
      return true
    }),
  )
  using stores = openStores(undefined, 'vfs')
  await assert.rejects(pull(stores, server.address), /404/)
})

test('two pulls whose images have the same layers in opposite orders do not wait for each other', async () => {
  const other = tarOf({ other: randomBytes(200_000) })
  const images = [publish([ONE, other]), publish([other, ONE])] as const
  for (const storageDriver of ['vfs', undefined]) {
    // Who gets the layer that both wait for is chance.
    for (let round = 0; round < 5; round += 1) {
      using first = openStores(undefined, storageDriver)
      using second = openStores(first.root, storageDriver)
      const seen: string[] = []
      await using server = await lyingServer(registryOf(images[0], seen))
      await using backwards = await lyingServer(registryOf(images[1], seen))
      const [one] = images[0].layers
      const held = await first.content.ingest(one!.digest, { target: one! })
      const patience = { signal: AbortSignal.timeout(10_000) }
      const pulls = [pull(first, server.address, patience)]
      // It has the upper layer, and wants the lower one.
      while (!seen.includes(images[0].layers[1]!.digest)) await sleep(5)
      pulls.push(pull(second, backwards.address, patience))
      await sleep(50)
      await held[Symbol.asyncDispose]()
      await Promise.all(pulls)
      for (const { digest } of images[0].layers) assert.equal(seen.filter(each => each.startsWith(digest)).length, 1)
      assert.deepEqual((await checkStore(first.root, storageDriver)).faults, [])
    }
  }
})

test('hostile #72: pullImage() fetches anew what it would have gone on from, when that is no part of the blob', async () => {
  for (const plain of [false, true]) {
    const image = publish([ONE], { plain })
    const [target] = image.layers
    using stores = openStores()
    {
      await using ingest = await stores.content.ingest(target!.digest, { target: target! })
      await ingest.write(streamOf(Buffer.alloc(5000)))
    }
    const seen: string[] = []
    await using server = await lyingServer(registryOf(image, seen))
    await pull(stores, server.address)
    assert.deepEqual(
      seen.filter(each => each.startsWith(target!.digest)),
      [`${target!.digest}bytes=5000-`, target!.digest],
    )
    assert.deepEqual((await checkStore(stores.root)).faults, [])
  }
})

test('hostile #52: a download that was damaged on its way is not gone on from: the next pull has the layer', async () => {
  for (const at of [1000, -8]) {
    const image = publish([ONE])
    const good = image.blobs.get(image.layers[0]!.digest)!
    const bad = Buffer.from(good)
    bad[(bad.length + at) % bad.length]! ^= 0x55
    let damaged = true
    const answer = registryOf(image, [], (digest, _, response) => {
      if (!damaged || digest !== image.layers[0]!.digest) return false
      response.writeHead(200, { 'content-length': bad.length }).end(bad)
      return true
    })
    await using server = await lyingServer(answer)
    using stores = openStores()
    await assert.rejects(pull(stores, server.address), (error: Error & { kind?: string }) => {
      assert.equal(error.kind, 'dataLoss')
      assert.match(error.message, new RegExp(image.layers[0]!.digest))
      return true
    })
    damaged = false
    await pull(stores, server.address)
    assert.deepEqual((await checkStore(stores.root)).faults, [])
  }
})
