import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { chainIds, type DiffId, digestOf, parseDiffId } from '../../oci/index.ts'
import { directory, file, hardlink, layerTar, type Member, opaque, special, symlink, whiteout } from './layerTar.ts'
import { changesOf, type Picture, pictureOf, pictureOfDirectory, shapeOf } from './picture.ts'
import { addLayer, type Cases, commitChanged, importLayers, layerInput, mounted, namesOf, removeAll, type Subject } from './subject.ts'

const diffIdOf = (tar: Uint8Array): DiffId => parseDiffId(digestOf(tar))

/** Layers, base first, and what the top shows and changes. */
interface LayerScenario {
  readonly layers: readonly (readonly Member[])[]
  readonly shape: Picture
  readonly changes?: readonly string[]
}

const LAYER_SCENARIOS: Readonly<Record<string, LayerScenario>> = {
  'whiteouts of files, directories, symlinks and devices': {
    layers: [
      [
        file('f'),
        directory('d'),
        file('d/x'),
        symlink('l', 'd'),
        special('c', 'character', { device: { major: 1, minor: 3 } }),
        file('kept'),
      ],
      [whiteout('f'), whiteout('d'), whiteout('l'), whiteout('c')],
    ],
    shape: { kept: 'file' },
    changes: ['D /c', 'D /d', 'D /f', 'D /l'],
  },
  'hostile #34: a whiteout of nothing': {
    layers: [[file('f')], [whiteout('absent'), whiteout('nowhere/absent')]],
    shape: { f: 'file', nowhere: 'directory' },
    changes: ['A /nowhere'],
  },
  'hostile #32: an opaque directory hides what is below, before and after its own names': {
    layers: [
      [directory('d'), file('d/old'), directory('d/sub'), file('d/sub/old'), directory('e'), file('e/old')],
      [directory('d'), opaque('d'), file('d/new'), directory('e'), file('e/new'), opaque('e')],
    ],
    shape: { d: 'directory', 'd/new': 'file', e: 'directory', 'e/new': 'file' },
    changes: ['C /d', 'A /d/new', 'D /d/old', 'D /d/sub', 'C /e', 'A /e/new', 'D /e/old'],
  },
  'an opaque root hides everything below': {
    layers: [
      [file('old'), directory('d'), file('d/old')],
      [opaque(''), directory('d'), file('d/new')],
    ],
    shape: { d: 'directory', 'd/new': 'file' },
    changes: ['C /d', 'A /d/new', 'D /d/old', 'D /old'],
  },
  'hostile #33: a whiteout and the same name in one layer, in both orders': {
    layers: [
      [file('a', 'old'), file('b', 'old'), directory('d'), file('d/old'), directory('e'), file('e/old')],
      [whiteout('a'), file('a', 'new'), file('b', 'new'), whiteout('b'), whiteout('d'), directory('d'), directory('e'), whiteout('e')],
    ],
    shape: { a: 'file new', b: 'file new', d: 'directory', e: 'directory' },
    changes: ['C /a', 'C /b', 'C /d', 'D /d/old', 'C /e', 'D /e/old'],
  },
  'hostile #35: directory, file and symlink replace each other': {
    layers: [
      [directory('d1'), file('d1/x'), directory('d2'), file('d2/x'), file('f1'), file('f2'), symlink('l1', 'd2'), symlink('l2', 'd2')],
      [
        file('d1', 'f'),
        symlink('d2', 'f1'),
        directory('f1'),
        file('f1/y'),
        symlink('f2', 'd2'),
        directory('l1'),
        file('l1/z'),
        file('l2', 'f'),
      ],
    ],
    shape: {
      d1: 'file f',
      d2: 'symlink f1',
      f1: 'directory',
      'f1/y': 'file',
      f2: 'symlink d2',
      l1: 'directory',
      'l1/z': 'file',
      l2: 'file f',
    },
    changes: ['C /d1', 'C /d2', 'C /f1', 'A /f1/y', 'C /f2', 'C /l1', 'A /l1/z', 'C /l2'],
  },
  'hostile #31: a symlink below in the place of a parent leads nowhere': {
    layers: [
      [directory('tmp'), directory('tmp/p'), file('tmp/p/victim'), symlink('etc', '/tmp/p')],
      [whiteout('etc/victim'), file('etc/new')],
    ],
    shape: { tmp: 'directory', 'tmp/p': 'directory', 'tmp/p/victim': 'file', etc: 'directory', 'etc/new': 'file' },
    changes: ['C /etc', 'A /etc/new'],
  },
  'hostile #36: what AUFS left is no content': {
    layers: [
      [file('f')],
      [file('.wh..wh.aufs'), directory('.wh..wh.plnk'), file('.wh..wh.plnk/1.2'), directory('.wh..wh.orph'), file('g')],
    ],
    shape: { f: 'file', g: 'file' },
    changes: ['A /g'],
  },
  'hostile #37: hard links to files below, to hidden ones, and chains': {
    layers: [
      [file('a', 'a'), file('b', 'b'), directory('d'), file('d/c', 'c')],
      [hardlink('a2', 'a'), hardlink('a3', 'a2'), whiteout('b'), hardlink('b2', 'b')],
      [hardlink('a4', 'a3'), hardlink('d/c2', 'd/c')],
    ],
    shape: {
      a: 'file a = a = a2',
      a2: 'file a = a = a2',
      a3: 'file a = a3 = a4',
      a4: 'file a = a3 = a4',
      b2: 'file b',
      d: 'directory',
      'd/c': 'file c = d/c = d/c2',
      'd/c2': 'file c = d/c = d/c2',
    },
  },
  'hard links of one file below, whose own name goes, are one file': {
    layers: [[file('a', 'a')], [hardlink('x', 'a'), hardlink('y', 'a'), whiteout('a')]],
    shape: { x: 'file a = x = y', y: 'file a = x = y' },
  },
  'hard links inside a layer, of which the next one replaces a name': {
    layers: [[file('a', 'x'), hardlink('b', 'a'), hardlink('c', 'a')], [file('b', 'y')]],
    shape: { a: 'file x = a = c', b: 'file y', c: 'file x = a = c' },
    changes: ['C /b'],
  },
  'directories that a tar only implies take the attributes of those below': {
    layers: [[directory('d', { mode: 0o1777, uid: 5, gid: 6 })], [file('d/new/f')]],
    shape: { d: 'directory', 'd/new': 'directory', 'd/new/f': 'file' },
    changes: ['C /d', 'A /d/new', 'A /d/new/f'],
  },
  'a name that goes, comes and goes again': {
    layers: [[file('f', '0')], [whiteout('f')], [file('f', '2')], [whiteout('f')], [directory('f'), file('f/x', '4')]],
    shape: { f: 'directory', 'f/x': 'file 4' },
    changes: ['A /f', 'A /f/x'],
  },
}

async function runScenario(subject: Subject, { layers, shape, changes }: LayerScenario): Promise<void> {
  const { snapshots, scratch } = subject
  const top = await importLayers(
    subject,
    'layer ',
    layers.map(members => layerTar(...members)),
  )
  assert.deepEqual(await shapeOf(snapshots, top), shape)
  if (changes !== undefined) assert.deepEqual((await changesOf(snapshots, top)).toSorted(), changes.toSorted())
  const shown = await pictureOf(snapshots, top)
  await mounted(scratch, await snapshots.view('view', top), async path => assert.deepEqual(await pictureOfDirectory(path), shown))
  await mounted(scratch, await snapshots.prepare('active', top), async path => assert.deepEqual(await pictureOfDirectory(path), shown))
  assert.deepEqual(await changesOf(snapshots, 'active'), [])
}

/** Upper layers whose hard links lead, through `way`, to what one of them takes the place of. */
const DISPLACING: readonly (readonly Member[])[] = [
  [hardlink('d', 'way/f')],
  [hardlink('x', 'way/f'), hardlink('d', 'e')],
  [hardlink('d', 'e'), hardlink('x', 'way/f')],
  [hardlink('x', 'way/f'), hardlink('d/f', 'e')],
]

/** Layers that are imported without a mount. */
const OTHER_CASES: Cases = {
  async 'hostile #37: a hard link is refused whose target another one of its layer takes the place of'(subject) {
    const base = layerTar(directory('d'), file('d/f', 'x'), file('e', 'y'), symlink('way', '/d'))
    for (const [at, members] of DISPLACING.entries()) {
      const tars = [base, layerTar(...members)]
      await assert.rejects(importLayers(subject, `layer ${at} `, tars), { code: 'STRATA_HARD_LINK_TARGET' }, JSON.stringify(members))
    }
  },

  async 'importStack() shows all layers at once, at commit(), whatever the order in which they were added'(subject) {
    const { snapshots, scratch } = subject
    const tars = Array.from({ length: 5 }, (_, n) => layerTar(file(`only-${n}`, String(n)), file('last', String(n))))
    const inputs = await Promise.all(tars.map(tar => layerInput(scratch, tar, { diffId: diffIdOf(tar) })))
    await using stack = snapshots.importStack()
    const adding = [3, 1, 4, 0, 2].map(n => stack.add(`c${n}`, n === 0 ? undefined : `c${n - 1}`, inputs[n]!))
    const applied = await Promise.all(adding)
    assert.deepEqual(
      applied.map(({ diffId }) => diffId),
      [3, 1, 4, 0, 2].map(n => diffIdOf(tars[n]!)),
    )
    assert.deepEqual(await namesOf(snapshots), [])
    await assert.rejects(snapshots.prepare('key', 'c0'), { kind: 'notFound' })
    const directories = await stack.commit()
    assert.deepEqual([...directories.keys()].toSorted(), ['c0', 'c1', 'c2', 'c3', 'c4'])
    for (const [name, path] of directories) {
      if (path !== undefined) assert.equal(readFileSync(join(path, `only-${name.slice(1)}`), 'utf8'), name.slice(1))
    }
    for (const n of [0, 1, 2, 3, 4]) {
      const { parent, kind } = await snapshots.stat(`c${n}`)
      assert.deepEqual([kind, parent], ['committed', n === 0 ? undefined : `c${n - 1}`])
      assert.equal((await shapeOf(snapshots, `c${n}`))['last'], `file ${n}`)
      assert.equal(Object.keys(await shapeOf(snapshots, `c${n}`)).length, n + 2)
    }
  },

  async 'importStack() that is given up leaves nothing, also while layers are on their way'(subject) {
    const { snapshots, scratch, statesOnDisk, root } = subject
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield layerTar(file('a')).subarray(0, 512)
      await sleep(60_000, undefined, { ref: false })
    }
    const stack = snapshots.importStack()
    await addLayer(stack, { name: 'c0', tar: layerTar(file('a')) }, scratch)
    const waiting = [
      stack.add('c1', 'c0', await layerInput(scratch, Buffer.alloc(0), { bytes: endless() })),
      // Its parent is never added.
      addLayer(stack, { name: 'c3', parent: 'c2', tar: layerTar(file('c')) }, scratch),
    ]
    const ended = Promise.allSettled(waiting)
    await sleep(50)
    await stack[Symbol.asyncDispose]()
    assert.equal((await ended)[0]!.status, 'rejected')
    assert.deepEqual(await namesOf(snapshots), [])
    assert.equal(await statesOnDisk(root), 0)
  },

  async 'importStack() stops when the signal of a layer says so'(subject) {
    const { snapshots, scratch } = subject
    const stop = new AbortController()
    async function* bytes(): AsyncGenerator<Uint8Array> {
      yield layerTar(file('a')).subarray(0, 512)
      stop.abort(new Error('the user has had enough'))
      await sleep(20)
      yield layerTar(file('a')).subarray(512)
    }
    await using stack = snapshots.importStack()
    const input = await layerInput(scratch, Buffer.alloc(0), { bytes: bytes(), signal: stop.signal })
    await assert.rejects(stack.add('c0', undefined, input), { message: 'the user has had enough' })
    await assert.rejects(stack.commit(), { message: 'the user has had enough' })
  },

  async 'hostile #52: bytes that are not those expected fail add() and commit(), and nothing is visible'(subject) {
    const { snapshots, scratch, statesOnDisk, root } = subject
    {
      await using stack = snapshots.importStack()
      const tar = layerTar(file('a'))
      const good = addLayer(stack, { name: 'c0', tar }, scratch)
      const bad = stack.add('c1', 'c0', await layerInput(scratch, layerTar(file('b')), { diffId: diffIdOf(tar) }))
      await assert.rejects(bad, { kind: 'dataLoss', code: 'STRATA_DIFF_ID_MISMATCH' })
      await good
      await assert.rejects(stack.commit(), { kind: 'dataLoss', code: 'STRATA_DIFF_ID_MISMATCH' })
    }
    assert.deepEqual(await namesOf(snapshots), [])
    assert.equal(await statesOnDisk(root), 0)
  },

  async 'hostile #25: a 0:0 device is not taken for a whiteout'(subject) {
    const { snapshots, scratch } = subject
    await importLayers(subject, 'c', [layerTar(file('f', 'kept'))])
    const tar = layerTar(special('f', 'character', { device: { major: 0, minor: 0 } }))
    await using stack = snapshots.importStack()
    await assert.rejects(addLayer(stack, { name: 'c1', parent: 'c0', tar }, scratch), { kind: 'invalidArgument' })
  },

  async 'hostile #24: xattrs of overlayfs are not taken over from a layer'(subject) {
    const { snapshots, scratch } = subject
    const xattrs = new Map(
      [
        'trusted.overlay.opaque',
        'trusted.overlay.whiteout',
        'trusted.overlay.redirect',
        'trusted.overlay.metacopy',
        'user.overlay.opaque',
      ].map(key => [key, Buffer.from('y')]),
    )
    const top = await importLayers(subject, 'c', [
      layerTar(directory('d'), file('d/f', 'below'), file('g', 'below')),
      layerTar(directory('d', { xattrs }), file('h', 'x', { xattrs })),
    ])
    const shape = { d: 'directory', 'd/f': 'file below', g: 'file below', h: 'file x' }
    assert.deepEqual(await shapeOf(snapshots, top), shape)
    await mounted(scratch, await snapshots.view('view', top), path => {
      assert.deepEqual(readdirSync(join(path, 'd')), ['f'])
      assert.equal(readFileSync(join(path, 'h'), 'utf8'), 'x')
    })
  },

  async 'commit() of a stack waits for layers that are still on their way'(subject) {
    const { snapshots, scratch } = subject
    const tar = layerTar(file('late', 'whole'))
    async function* slowly(): AsyncGenerator<Uint8Array> {
      yield tar.subarray(0, 600)
      await sleep(100)
      yield tar.subarray(600)
    }
    await using stack = snapshots.importStack()
    const adding = stack.add('c0', undefined, await layerInput(scratch, tar, { bytes: slowly() }))
    await stack.commit()
    await adding
    assert.deepEqual(await shapeOf(snapshots, 'c0'), { late: 'file whole' })
  },

  async 'a stack whose parent is nowhere is refused'(subject) {
    const { snapshots, scratch } = subject
    await using stack = snapshots.importStack()
    const adding = stack.add('c1', 'c0', await layerInput(scratch, layerTar(file('a'))))
    const ended = Promise.allSettled([adding])
    await assert.rejects(stack.commit(), { kind: 'notFound', code: 'STRATA_NO_SUCH_SNAPSHOT' })
    await ended
    assert.deepEqual(await namesOf(snapshots), [])
  },

  async 'a stack on a committed state keeps it until the stack ends'(subject) {
    const { snapshots, scratch } = subject
    await commitChanged(subject, 'base', { change: path => writeFileSync(join(path, 'a'), '1') })
    {
      await using stack = snapshots.importStack()
      await addLayer(stack, { name: 'c1', parent: 'base', tar: layerTar(file('b', '2')) }, scratch)
      await assert.rejects(snapshots.remove('base'), { kind: 'conflict' })
      assert.ok(!Array.from(snapshots.collectable().list()).includes('base'))
      await stack.commit()
    }
    assert.deepEqual(await shapeOf(snapshots, 'c1'), { a: 'file 1', b: 'file 2' })
    {
      await using stack = snapshots.importStack()
      await addLayer(stack, { name: 'c2', parent: 'c1', tar: layerTar() }, scratch)
    }
    await snapshots.remove('c1')
    await snapshots.remove('base')
  },

  async 'a name may come from the bytes of its layer'(subject) {
    const { snapshots, scratch } = subject
    const tars = [layerTar(file('a', '1')), layerTar(file('b', '2'))] as const
    const names = chainIds(tars.map(diffIdOf))
    await using stack = snapshots.importStack()
    const first = addLayer(stack, { name: ({ diffId }) => chainIds([diffId])[0]!, tar: tars[0] }, scratch)
    const second = addLayer(stack, { name: names[1]!, parent: names[0]!, tar: tars[1] }, scratch)
    await Promise.all([first, second])
    assert.deepEqual([...(await stack.commit()).keys()], names)
    assert.deepEqual(await shapeOf(snapshots, names[1]!), { a: 'file 1', b: 'file 2' })
  },

  async 'the same layer twice in one image is two states, and the same name twice is one'(subject) {
    const { snapshots, scratch, statesOnDisk, root } = subject
    const tar = layerTar(file('a', '1'), whiteout('b'))
    const names = chainIds([diffIdOf(tar), diffIdOf(tar)])
    {
      await using stack = snapshots.importStack()
      await Promise.all([
        addLayer(stack, { name: names[0]!, tar }, scratch),
        addLayer(stack, { name: names[1]!, parent: names[0]!, tar }, scratch),
        addLayer(stack, { name: names[0]!, tar }, scratch),
      ])
      await stack.commit()
    }
    assert.deepEqual(await shapeOf(snapshots, names[1]!), { a: 'file 1' })
    assert.deepEqual(await changesOf(snapshots, names[1]!), [])
    assert.equal(await statesOnDisk(root), 2)
  },

  async 'a name that somebody committed first is theirs, and what stands on it is ours'(subject) {
    const { snapshots, scratch, statesOnDisk, root } = subject
    const tars = [layerTar(file('a', '1')), layerTar(file('b', '2'))] as const
    const stack = snapshots.importStack()
    await Promise.all([
      addLayer(stack, { name: 'c0', tar: tars[0] }, scratch),
      addLayer(stack, { name: 'c1', parent: 'c0', tar: tars[1] }, scratch),
    ])
    await importLayers(subject, 'c', [tars[0]])
    const theirs = snapshots.describe('c0')
    await stack.commit()
    await stack[Symbol.asyncDispose]()
    assert.deepEqual(snapshots.describe('c0'), theirs)
    assert.deepEqual(await shapeOf(snapshots, 'c1'), { a: 'file 1', b: 'file 2' })
    assert.equal(await statesOnDisk(root), 2)
    await removeAll(snapshots)
    assert.equal(await statesOnDisk(root), 0)
  },

  async 'a key that somebody works with is no name for a layer'(subject) {
    const { snapshots, scratch } = subject
    await snapshots.prepare('c0', undefined)
    {
      await using stack = snapshots.importStack()
      await addLayer(stack, { name: 'c0', tar: layerTar(file('a')) }, scratch)
      await assert.rejects(stack.commit(), { kind: 'alreadyExists' })
    }
    assert.deepEqual(await shapeOf(snapshots, 'c0'), {})
  },

  async 'hostile #39: a stack of 200 layers is imported, mounted, changed and committed'(subject) {
    const { snapshots, scratch } = subject
    const tars = Array.from({ length: 200 }, (_, n) => layerTar(file(`f${n}`, String(n)), whiteout(`f${n - 3}`), file('top', String(n))))
    const top = await importLayers(subject, 'layer ', tars)
    const shape = { f197: 'file 197', f198: 'file 198', f199: 'file 199', top: 'file 199' }
    assert.deepEqual(await shapeOf(snapshots, top), shape)
    await mounted(scratch, await snapshots.view('view', top), path => assert.deepEqual(readdirSync(path).toSorted(), Object.keys(shape)))
    await mounted(scratch, await snapshots.prepare('key', top), path => {
      assert.equal(readFileSync(join(path, 'top'), 'utf8'), '199')
      writeFileSync(join(path, 'top'), 'new')
    })
    await snapshots.commit('changed', 'key')
    assert.deepEqual(await changesOf(snapshots, 'changed'), ['C /top'])
    assert.deepEqual(await shapeOf(snapshots, 'changed'), { ...shape, top: 'file new' })
  },
}

export const STACK_CASES: Cases = {
  ...Object.fromEntries(
    Object.entries(LAYER_SCENARIOS).map(([title, scenario]) => [`layers: ${title}`, (subject: Subject) => runScenario(subject, scenario)]),
  ),
  ...OTHER_CASES,
}
