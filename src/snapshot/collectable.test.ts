import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { collect, Leases, type Metadata, openMetadata, type Resource } from '../metadata/index.ts'
import { DriverSnapshotter } from './driverSnapshotter.ts'
import type { SnapshotId, StorageDriver } from './driver.ts'
import { SnapshotRecords } from './records.ts'

/** A driver whose states are names in a set: what a collection does is in the records. */
class SetDriver implements StorageDriver {
  readonly name = 'set'
  readonly importsInParallel = true
  readonly states = new Set<SnapshotId>()
  create: StorageDriver['create'] = async ([id]) => void this.states.add(id)
  persist: StorageDriver['persist'] = async () => undefined
  importLayer: StorageDriver['importLayer'] = () => Promise.reject(new Error('not in this test'))
  mounts: StorageDriver['mounts'] = async () => []
  seal: StorageDriver['seal'] = async () => undefined
  sync: StorageDriver['sync'] = async () => undefined
  usage: StorageDriver['usage'] = async () => ({ bytes: 0, inodes: 0 })
  tree: StorageDriver['tree'] = () => Promise.reject(new Error('not in this test'))
  layerDirectory: StorageDriver['layerDirectory'] = id => `/${id}`
  describe: StorageDriver['describe'] = () => ({})
  remove: StorageDriver['remove'] = async id => void this.states.delete(id)
  async *list(): AsyncGenerator<SnapshotId> {
    yield* this.states
  }
}

interface Store {
  readonly metadata: Metadata
  readonly driver: SetDriver
  readonly snapshots: DriverSnapshotter
  collect(...roots: readonly string[]): Promise<readonly string[]>
}

async function withStore(use: (store: Store) => Promise<void>): Promise<void> {
  const place = mkdtempSync(join(tmpdir(), 'strata-collectable-'))
  const metadata = openMetadata(join(place, 'meta.db'))
  try {
    const driver = new SetDriver()
    const snapshots = new DriverSnapshotter(driver, metadata)
    const leases = new Leases(metadata)
    await use({
      metadata,
      driver,
      snapshots,
      async collect(...roots) {
        const held = roots.map((id): Resource => ({ kind: 'snapshot', id }))
        const taken = await collect({ metadata, leases, kinds: [snapshots.collectable()], roots: () => held })
        return taken.map(({ id }) => id).toSorted()
      },
    })
  } finally {
    metadata.close()
    rmSync(place, { recursive: true })
  }
}

/** base ← middle ← top, and an active state on top. */
async function makeStack({ snapshots }: Store): Promise<void> {
  let below: string | undefined
  for (const name of ['base', 'middle', 'top']) {
    await snapshots.prepare('key', below)
    await snapshots.commit(name, 'key')
    below = name
  }
  await snapshots.prepare('active', 'top')
}

test('collectable() takes what nothing reaches, with its files', () =>
  withStore(async store => {
    await makeStack(store)
    assert.deepEqual(await store.collect('top'), ['active'])
    assert.deepEqual(await store.collect('middle'), ['top'])
    assert.equal(store.driver.states.size, 2)
    assert.deepEqual(await store.collect(), ['base', 'middle'])
    assert.equal(store.driver.states.size, 0)
  }))

test('collectable() keeps the parents of what is reached', () =>
  withStore(async store => {
    await makeStack(store)
    assert.deepEqual(await store.collect('active'), [])
    assert.equal(store.driver.states.size, 4)
  }))

test('hostile #70: collectable() leaves what somebody is just building on', () =>
  withStore(async store => {
    await makeStack(store)
    await store.snapshots.remove('active')
    const records = new SnapshotRecords(store.metadata, 'set')
    const [id] = records.begin('half-made', { kind: 'active', parent: 'middle', isPassing: false })
    assert.deepEqual(await store.collect(), ['top'])
    records.finish(id, { isPassing: false })
    assert.deepEqual(await store.collect('half-made'), [])
    const layer = records.beginLayer('middle')
    assert.deepEqual(await store.collect(), ['half-made'])
    records.discard(layer)
    assert.deepEqual(await store.collect(), ['base', 'middle'])
  }))

test('hostile #71: collectable() is not held up by what a process that is gone was building', () =>
  withStore(async store => {
    await makeStack(store)
    const records = new SnapshotRecords(store.metadata, 'set')
    const [id] = records.begin('half-made', { kind: 'active', parent: 'top', isPassing: false })
    await store.driver.create([id])
    store.metadata.run("UPDATE snapshots SET owner = 'gone' WHERE owner IS NOT NULL")
    assert.deepEqual(await store.collect(), ['active', 'base', 'middle', 'top'])
    assert.equal(await store.snapshots.removeOrphans(), 1)
    assert.equal(store.driver.states.size, 0)
  }))

test('commit() does not freeze a state that took the place of the one it sealed', () =>
  withStore(async ({ snapshots, driver }) => {
    await snapshots.prepare('key', undefined)
    driver.seal = async () => {
      await snapshots.remove('key')
      await snapshots.prepare('key', undefined)
    }
    await assert.rejects(snapshots.commit('name', 'key'), { kind: 'notFound' })
    assert.equal((await snapshots.stat('key')).kind, 'active')
  }))
