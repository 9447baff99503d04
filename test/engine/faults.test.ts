import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { silentLogger, streamOf } from '../../src/base/index.ts'
import { type ContainerImage, openContainers } from '../../src/container/index.ts'
import { commitContainer } from '../../src/engine/commit.ts'
import { collectGarbage } from '../../src/engine/garbage.ts'
import { importImage, loadImages } from '../../src/engine/imageIntake.ts'
import { readConfig } from '../../src/engine/imageConfig.ts'
import { pruneImages, removeImage, type RemovalContext } from '../../src/engine/imageRemoval.ts'
import { openEngine } from '../../src/engine/index.ts'
import { Stores } from '../../src/engine/stores.ts'
import { CURRENT_DIRECTORY, removeTree } from '../../src/host/index.ts'
import { ImageStore } from '../../src/image/index.ts'
import { type Metadata, openMetadata, openRootDirectory } from '../../src/metadata/index.ts'
import { openNetworks } from '../../src/network/index.ts'
import { parseReference } from '../../src/oci/index.ts'
import { checkStore, storedFiles } from '../support/storeCheck.ts'
import { tarOf } from '../support/tars.ts'
import { FaultPoints } from '../snapshot/faultPoints.ts'

/*
 * The process ends before or after any statement and transaction of a verb (what happens to files between two of them
 * is what the stores' own tests break off, and what powerLoss.test.ts and crash.test.ts meet by chance). Each run takes
 * some of the points; STRATA_ALL_FAULTS=1 takes all.
 */

interface Operation {
  readonly run: (place: Place) => Promise<unknown>
  /** The names of images before and after it. */
  readonly before: readonly string[]
  readonly after: readonly string[]
  /** How many points it has at least. */
  readonly points: number
}

interface Place {
  readonly stores: Stores
  readonly root: string
  readonly archive: string
  /** The container whose layer is committed. */
  readonly container: string
}

const STRIDE = process.env['STRATA_ALL_FAULTS'] === undefined ? 9 : 1
const BASE = ['base:1', 'base:2', 'loose:1']

const OPERATIONS: Readonly<Record<string, Operation>> = {
  import: {
    run: ({ stores }) => importImage(stores, streamOf(tarOf({ new: 'new' })), { reference: 'new:1' }),
    before: BASE,
    after: [...BASE, 'new:1'],
    points: 20,
  },
  load: {
    run: ({ stores, archive }) => loadImages(stores, archive, {}),
    before: BASE,
    after: ['base:1', 'base:2', 'loaded:1', 'loaded:2', 'loose:1'],
    points: 20,
  },
  commit: {
    run: place => withContainers(place, containers => commitContainer(place.stores, containers, place.container, { reference: 'new:1' })),
    before: BASE,
    after: [...BASE, 'new:1'],
    points: 20,
  },
  'rmi of a name': {
    run: ({ stores }) => removeImage(removal(stores), 'base:1', {}),
    before: BASE,
    after: ['base:2', 'loose:1'],
    points: 2,
  },
  'rmi of an image': {
    run: ({ stores }) => removeImage(removal(stores), 'loose:1', {}),
    before: BASE,
    after: ['base:1', 'base:2'],
    points: 6,
  },
  'image prune': { run: ({ stores }) => pruneImages(removal(stores), { all: true }), before: BASE, after: [], points: 10 },
}

/** The container of the test is none of the users here: its snapshot is held, its image is not. */
function removal(stores: Stores): RemovalContext {
  const containers = (): readonly { kind: string; id: string }[] =>
    stores.metadata
      .all<{ name: string }>("SELECT name FROM snapshots WHERE kind = 'active'")
      .map(({ name }) => ({ kind: 'snapshot', id: name }))
  return { stores, users: () => [], collect: interrupted => collectGarbage(stores, { containers, interrupted }) }
}

async function withContainers<T>({ stores, root }: Place, use: (containers: ReturnType<typeof openContainers>) => Promise<T>): Promise<T> {
  const snapshots = await stores.requireSnapshots('commit')
  // The containers' own records have no faults here.
  using metadata = openMetadata(openRootDirectory(root))
  const containers = openContainers({
    root,
    runDirectory: join(root, '..', 'run'),
    metadata,
    snapshots,
    networks: openNetworks(),
    strataCommand: ['true'],
    findImage: async reference => stores.images.find(reference),
    logger: silentLogger,
  })
  try {
    return await use(containers)
  } finally {
    await containers.close()
  }
}

function openStores(root: string, metadata: Metadata): Stores {
  return new Stores({ root, storageDriver: 'overlay2', metadata, images: new ImageStore(metadata) })
}

const skip = process.getuid?.() === 0 ? false : 'needs root: drivers keep owners and devices'

for (const [title, operation] of Object.entries(OPERATIONS)) {
  test(`hostile #68, #71: ${title} happens as a whole or not at all when the process ends between two of its steps`, { skip }, async t => {
    const scratch = await mkdtemp(join(tmpdir(), 'strata-engine-faults-'))
    try {
      t.diagnostic(`${await tryAllPoints(scratch, operation)} points`)
    } finally {
      await removeTree(CURRENT_DIRECTORY, scratch)
    }
  })
}

async function tryAllPoints(scratch: string, operation: Operation): Promise<number> {
  const archive = await makeArchive(scratch)
  for (let chosen = randomInt(STRIDE); ; chosen += STRIDE) {
    const root = join(scratch, `root${chosen}`)
    using metadata = openMetadata(openRootDirectory(root))
    const sound = openStores(root, metadata)
    const container = await prepare(sound, root, archive)
    assert.deepEqual(namesIn(sound), operation.before)

    const points = new FaultPoints(chosen, 'crashes')
    const faulty = openStores(root, points.metadata(metadata))
    const failure: unknown = await operation.run({ stores: faulty, root, archive, container }).then(
      () => undefined,
      (error: unknown) => error,
    )
    assert.equal(failure !== undefined, points.hit, `the fault ${points.place} is told, and nothing else fails: ${String(failure)}`)
    // What the process that is gone had begun, another one sees as that.
    metadata.run("UPDATE snapshots SET owner = 'gone' WHERE owner IS NOT NULL")
    metadata.run("UPDATE leases SET owner = 'gone'")

    const names = namesIn(sound)
    assert.ok([operation.before.join(), operation.after.join()].includes(names.join()), `${points.place}: ${names.join(', ')}`)
    assert.deepEqual((await checkStore(root)).faults, [], `after the fault ${points.place}`)
    if (names.join() === operation.before.join() && randomInt(2) === 0) {
      await operation.run({ stores: sound, root, archive, container })
      assert.deepEqual(namesIn(sound), operation.after, `again after the fault ${points.place}`)
      assert.deepEqual((await checkStore(root)).faults, [], `again after the fault ${points.place}`)
    }

    // Nobody else's container.
    for (const { name } of metadata.all<{ name: string }>("SELECT name FROM snapshots WHERE kind = 'active'"))
      await (await sound.requireSnapshots('test')).remove(name)
    await pruneImages(removal(sound), { all: true })
    assert.deepEqual(storedFiles(root), [], `what is left after the fault ${points.place}`)
    if (!points.hit) {
      assert.ok(chosen >= operation.points, `only ${chosen} points`)
      return chosen
    }
    await removeTree(CURRENT_DIRECTORY, root)
  }
}

const namesIn = (stores: Stores): readonly string[] =>
  stores.images
    .list()
    .flatMap(({ names }) => (names.length === 0 ? ['<none>'] : names.map(name => name.replace('docker.io/library/', ''))))
    .toSorted()

/** Images with layers of their own and shared ones, and a container with a change. */
async function prepare(stores: Stores, root: string, archive: string): Promise<string> {
  const base = tarOf({ base: 'base', shared: Buffer.alloc(100_000, 1) })
  const { imageId } = await importImage(stores, streamOf(base), { reference: 'base:1' })
  stores.changeImages(() => stores.images.setName(parseReference('base:2'), stores.images.resolve('base:1').manifest.digest))
  await importImage(stores, streamOf(tarOf({ loose: 'loose' })), { reference: 'loose:1' })
  const record = stores.images.resolve(imageId)
  const { config } = await readConfig(stores, record)
  const image: ContainerImage = { id: imageId, name: 'base:1', config, chainId: record.chainId! }
  return withContainers({ stores, root, archive, container: '' }, async containers => {
    const { id } = await containers.create({ image: 'base:1', command: ['x'], network: 'none' }, image)
    await containers.copyTo(id, '/', streamOf(tarOf({ changed: 'changed' })))
    return id
  })
}

/** An archive with two images that share a layer with `base`. */
async function makeArchive(scratch: string): Promise<string> {
  const path = join(scratch, 'archive.tar')
  const root = join(scratch, 'archive-root')
  await mkdir(root)
  await using engine = await openEngine({ root, storageDriver: 'overlay2' })
  await engine.import(streamOf(tarOf({ base: 'base', shared: Buffer.alloc(100_000, 1) })), { reference: 'loaded:1' })
  const { id } = await engine.create({ image: 'loaded:1', command: ['x'], network: 'none' })
  await engine.copyTo(id, '/', streamOf(tarOf({ second: 'second' })))
  await engine.commit(id, { reference: 'loaded:2' })
  await writeFile(path, await engine.save(['loaded:1', 'loaded:2']))
  await engine.removeContainer(id)
  return path
}
