import assert from 'node:assert/strict'
import { mkdir, mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { CURRENT_DIRECTORY, removeTree } from '../../src/host/index.ts'
import { DriverSnapshotter, type Snapshotter } from '../../src/snapshot/index.ts'
import { file, layerTar } from '../../src/testing/snapshotter/layerTar.ts'
import { shapeOf } from '../../src/testing/snapshotter/picture.ts'
import { importLayers, namesOf, removeAll } from '../../src/testing/snapshotter/subject.ts'
import { type Fault, FaultPoints } from './faultPoints.ts'
import { openParts, statesOfDriver } from './stores.ts'

interface Operation {
  readonly run: (snapshots: Snapshotter, scratch: string) => Promise<unknown>
  /** The states once it has happened, besides those that were there. */
  readonly adds?: readonly string[]
  readonly takes?: readonly string[]
  /** How many points it has at least. */
  readonly points: number
}

const TARS = ['1', '2', '3'].map(n => layerTar(file(`f${n}`, n), file('top', n)))

const OPERATIONS: Readonly<Record<string, Operation>> = {
  'prepare()': { run: snapshots => snapshots.prepare('new', 'base0'), adds: ['new'], points: 6 },
  'view()': { run: snapshots => snapshots.view('new', 'base0'), adds: ['new'], points: 6 },
  'commit()': { run: snapshots => snapshots.commit('new', 'key'), adds: ['new'], takes: ['key'], points: 6 },
  'remove()': { run: snapshots => snapshots.remove('key'), takes: ['key'], points: 3 },
  'importStack()': {
    run: (snapshots, scratch) => importLayers({ snapshots, scratch }, 'layer', TARS),
    adds: ['layer0', 'layer1', 'layer2'],
    points: 16,
  },
}

const skip = process.getuid?.() === 0 ? false : 'needs root: drivers keep owners and devices'

for (const driverName of ['overlay2', 'erofs', 'vfs']) {
  for (const fault of ['fails', 'crashes'] as const) {
    for (const [title, operation] of Object.entries(OPERATIONS)) {
      const what = fault === 'fails' ? 'one of its steps fails' : 'the process ends between any two steps'
      test(`hostile #68: ${title} on ${driverName} happens as a whole or not at all when ${what}`, { skip }, t =>
        inScratch(place => tryAllPoints(place, { driverName, operation, fault }).then(points => t.diagnostic(`${points} points`))),
      )
    }
  }
}

async function inScratch<T>(use: (place: string) => Promise<T>): Promise<T> {
  // Not in /tmp, which may be a tmpfs (Debian 13): EROFS mounts no file of one.
  const place = await mkdtemp('/var/tmp/strata-snapshot-faults-')
  try {
    return await use(place)
  } finally {
    await removeTree(CURRENT_DIRECTORY, place)
  }
}

interface Trial {
  readonly driverName: string
  readonly operation: Operation
  readonly fault: Fault
}

async function tryAllPoints(place: string, { driverName, operation, fault }: Trial): Promise<number> {
  const [root, scratch] = [join(place, 'root'), join(place, 'scratch')]
  for (const path of [root, scratch]) await mkdir(path)
  const { driver, metadata } = await openParts(root, driverName)
  try {
    const sound = new DriverSnapshotter(driver, metadata)
    for (let chosen = 0; ; chosen += 1) {
      await importLayers({ snapshots: sound, scratch }, 'base', [layerTar(file('base', 'b'))])
      await sound.prepare('key', 'base0')
      const before = await namesOf(sound)
      const after = [...before.filter(name => !(operation.takes ?? []).includes(name)), ...(operation.adds ?? [])].toSorted()

      const points = new FaultPoints(chosen, fault)
      const faulty = new DriverSnapshotter(points.driver(driver), points.metadata(metadata))
      let failure: unknown
      try {
        await operation.run(faulty, scratch)
      } catch (error) {
        failure = error
      }
      assert.equal(failure !== undefined, points.hit, `the fault ${points.place} is told, and nothing else fails: ${String(failure)}`)
      // What the process that is gone had begun, another one sees as that.
      if (fault === 'crashes') metadata.run("UPDATE snapshots SET owner = 'gone' WHERE owner IS NOT NULL")

      const names = await namesOf(sound)
      const happened = names.join() === after.join()
      assert.ok(happened || names.join() === before.join(), `${points.place}: ${names.join(', ')}`)
      if (!happened) {
        if (fault === 'crashes' && chosen % 2 === 0) await sound.removeOrphans()
        await operation.run(sound, scratch)
        assert.deepEqual(await namesOf(sound), after, `again after the fault ${points.place}`)
      }
      if (after.includes('layer2'))
        assert.deepEqual(await shapeOf(sound, 'layer2'), { f1: 'file 1', f2: 'file 2', f3: 'file 3', top: 'file 3' })
      if (after.includes('new')) assert.deepEqual(await shapeOf(sound, 'new'), { base: 'file b' })

      await sound.removeOrphans()
      assert.equal(await sound.removeOrphans(), 0)
      assert.equal(await statesOfDriver(root, driverName), after.length, `${points.place}: what is on disk has a record`)
      await removeAll(sound)
      assert.equal(await statesOfDriver(root, driverName), 0)
      if (!points.hit) {
        assert.ok(chosen >= operation.points, `only ${chosen} points`)
        return chosen
      }
    }
  } finally {
    metadata.close()
  }
}
