import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { CURRENT_DIRECTORY, removeTree, setXattrAt } from '../../src/host/index.ts'
import { file, layerTar } from '../../src/testing/snapshotter/layerTar.ts'
import { shapeOf } from '../../src/testing/snapshotter/picture.ts'
import { importLayers, mounted, type Subject } from '../../src/testing/snapshotter/subject.ts'
import { openSnapshotter } from './overlay2Module.ts'

const skip = process.getuid?.() === 0 ? false : 'needs root: it mounts'

async function withStore(name: string, use: (subject: Pick<Subject, 'snapshots' | 'scratch' | 'root'>) => Promise<void>): Promise<void> {
  const place = await mkdtemp(join(tmpdir(), 'strata-overlay2-'))
  try {
    const [root, scratch] = [join(place, name), join(place, 'scratch')]
    for (const path of [root, scratch]) await mkdir(path, { recursive: true })
    await using snapshots = await openSnapshotter(root)
    await use({ snapshots, scratch, root })
  } finally {
    await removeTree(CURRENT_DIRECTORY, place)
  }
}

const layersOf = (count: number): readonly Buffer[] => Array.from({ length: count }, (_, n) => layerTar(file(`f${n}`, String(n))))

for (const name of ['a:b', 'a,b', 'a\\b', 'a\\:b,c=d', 'ünï code', 'x'.repeat(250)]) {
  test(`overlay2 mounts below a root called ${name.slice(0, 20)}`, { skip }, () =>
    withStore(name, async subject => {
      const { snapshots, scratch } = subject
      const top = await importLayers(subject, 'layer', layersOf(3))
      await mounted(scratch, await snapshots.view('view', top), path => assert.deepEqual(readdirSync(path), ['f0', 'f1', 'f2']))
      await mounted(scratch, await snapshots.prepare('key', top), path => writeFileSync(join(path, 'f1'), 'new'))
      assert.deepEqual(await shapeOf(snapshots, 'key'), { f0: 'file 0', f1: 'file new', f2: 'file 2' })
    }),
  )
}

test('hostile #39: overlay2 mounts 500 layers, and says that it cannot mount more', { skip }, () =>
  withStore('root', async subject => {
    const { snapshots, scratch } = subject
    await importLayers(subject, 'layer', layersOf(501))
    await mounted(scratch, await snapshots.prepare('key', 'layer499'), path => {
      assert.equal(readdirSync(path).length, 500)
      assert.equal(readFileSync(join(path, 'f0'), 'utf8'), '0')
    })
    const refused = { kind: 'unsupported', code: 'STRATA_TOO_MANY_LAYERS' }
    await assert.rejects(snapshots.prepare('deep', 'layer500'), refused)
    await assert.rejects(snapshots.view('deep', 'layer499'), refused)
    await assert.rejects(snapshots.stat('deep'), { kind: 'notFound' })
    // Without a mount it is all there.
    assert.equal(Object.keys(await shapeOf(snapshots, 'layer500')).length, 501)
  }),
)

test('hostile #24: overlay2 follows no redirect that a directory of a layer has', { skip }, () =>
  withStore('root', async subject => {
    const { snapshots, scratch } = subject
    const top = await importLayers(subject, 'layer', [layerTar(file('secret/f', 'x'), file('d/own', 'y'))])
    const mounts = await snapshots.prepare('key', top)
    const { UpperDir } = snapshots.describe('key')
    // As a container would that can write to the upper directory behind the mount.
    await mkdir(join(UpperDir!, 'd'))
    setXattrAt(CURRENT_DIRECTORY, join(UpperDir!, 'd'), { key: 'trusted.overlay.redirect', value: Buffer.from('/secret') })
    await mounted(scratch, mounts, path => assert.throws(() => readdirSync(join(path, 'd')), { code: 'EPERM' }))
  }),
)

test('hostile #66: nobody but root gets into the states of a driver', { skip }, () =>
  withStore('root', async ({ snapshots, root }) => {
    await snapshots.prepare('key', undefined)
    for (const path of ['snapshots', 'snapshots/overlay2', 'snapshots/overlay2/1']) {
      assert.equal((await stat(join(root, path))).mode & 0o077, 0, path)
    }
  }),
)
