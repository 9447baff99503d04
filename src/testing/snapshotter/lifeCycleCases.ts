import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { changesOf, pictureOf, pictureOfDirectory, shapeOf } from './picture.ts'
import { type Cases, commitChanged, mounted, namesOf, removeAll } from './subject.ts'

const NO_SUCH_SNAPSHOT = { kind: 'notFound', code: 'STRATA_NO_SUCH_SNAPSHOT' } as const
const EXISTS = { kind: 'alreadyExists', code: 'STRATA_SNAPSHOT_EXISTS' } as const

/** Writes a file of this content. */
const writing =
  (name: string, content: string) =>
  (directory: string): void =>
    writeFileSync(join(directory, name), content)

/** Keys, names, parents, kinds, errors: what is the same whatever the files are. */
export const LIFE_CYCLE_CASES: Cases = {
  async 'prepare() without a parent gives an empty, writable state'({ snapshots, scratch }) {
    await mounted(scratch, await snapshots.prepare('key', undefined), directory => {
      assert.deepEqual(readdirSync(directory), [])
      writeFileSync(join(directory, 'new'), 'content')
      assert.equal(readFileSync(join(directory, 'new'), 'utf8'), 'content')
    })
    assert.deepEqual(await shapeOf(snapshots, 'key'), { new: 'file content' })
    assert.deepEqual(await changesOf(snapshots, 'key'), ['A /new'])
  },

  async 'prepare() shows its parent, and others see nothing of it before commit()'(subject) {
    const { snapshots, scratch } = subject
    await commitChanged(subject, 'base', { change: writing('kept', 'old') })
    const before = await pictureOf(snapshots, 'base')
    await mounted(scratch, await snapshots.prepare('key', 'base'), async directory => {
      assert.equal(readFileSync(join(directory, 'kept'), 'utf8'), 'old')
      writeFileSync(join(directory, 'kept'), 'new')
      writeFileSync(join(directory, 'added'), '')
      await mounted(scratch, await snapshots.view('view', 'base'), other => {
        assert.deepEqual(readdirSync(other), ['kept'])
        assert.equal(readFileSync(join(other, 'kept'), 'utf8'), 'old')
      })
      assert.equal(snapshots.has('key'), false)
      await assert.rejects(snapshots.stat('changed'), NO_SUCH_SNAPSHOT)
    })
    assert.deepEqual(await pictureOf(snapshots, 'base'), before)
    await snapshots.commit('changed', 'key')
    assert.deepEqual(await shapeOf(snapshots, 'changed'), { kept: 'file new', added: 'file' })
    assert.deepEqual(await pictureOf(snapshots, 'base'), before)
  },

  async 'commit() makes the state a parent under its name, and the key is free again'(subject) {
    const { snapshots, scratch } = subject
    await commitChanged(subject, 'base', { change: writing('a', '1') })
    await snapshots.prepare('key', 'base')
    await snapshots.commit('second', 'key')
    await assert.rejects(snapshots.stat('key'), NO_SUCH_SNAPSHOT)
    assert.equal(snapshots.has('second'), true)
    await mounted(scratch, await snapshots.prepare('key', 'second'), writing('b', '2'))
    assert.deepEqual(await shapeOf(snapshots, 'key'), { a: 'file 1', b: 'file 2' })
    assert.deepEqual(await shapeOf(snapshots, 'second'), { a: 'file 1' })
  },

  async 'states on the same parent do not see each other, and none changes the parent'(subject) {
    const { snapshots, scratch } = subject
    await commitChanged(subject, 'base', {
      change(directory) {
        mkdirSync(join(directory, 'd'))
        writeFileSync(join(directory, 'd/shared'), 'base')
      },
    })
    const before = await pictureOf(snapshots, 'base')
    const first = await snapshots.prepare('first', 'base')
    const second = await snapshots.prepare('second', 'base')
    await mounted(scratch, first, one =>
      mounted(scratch, second, two => {
        writeFileSync(join(one, 'd/shared'), 'first')
        rmSync(join(two, 'd'), { recursive: true })
        assert.equal(readFileSync(join(one, 'd/shared'), 'utf8'), 'first')
        assert.equal(existsSync(join(two, 'd')), false)
      }),
    )
    assert.deepEqual(await shapeOf(snapshots, 'first'), { d: 'directory', 'd/shared': 'file first' })
    assert.deepEqual(await shapeOf(snapshots, 'second'), {})
    assert.deepEqual(await pictureOf(snapshots, 'base'), before)
  },

  async 'what was written stays when a state is mounted again, also by another Snapshotter of the root'(subject) {
    const { snapshots, scratch, openSnapshotter, root } = subject
    await commitChanged(subject, 'base', { change: writing('a', '1') })
    const mounts = await snapshots.prepare('key', 'base')
    await mounted(scratch, mounts, writing('b', '2'))
    assert.deepEqual(await snapshots.mounts('key'), mounts)
    await using again = await openSnapshotter(root)
    await mounted(scratch, await again.mounts('key'), directory => {
      assert.equal(readFileSync(join(directory, 'b'), 'utf8'), '2')
      writeFileSync(join(directory, 'c'), '3')
    })
    await again.commit('committed', 'key')
    assert.deepEqual(await shapeOf(snapshots, 'committed'), { a: 'file 1', b: 'file 2', c: 'file 3' })
  },

  async 'view() shows its parent and takes no change'(subject) {
    const { snapshots, scratch } = subject
    await commitChanged(subject, 'base', { change: writing('a', '1') })
    for (const [key, parent] of [
      ['on a base', 'base'],
      ['on nothing', undefined],
    ] as const) {
      await mounted(scratch, await snapshots.view(key, parent), async directory => {
        assert.deepEqual(readdirSync(directory), parent === undefined ? [] : ['a'])
        assert.throws(() => writeFileSync(join(directory, 'b'), ''), { code: 'EROFS' })
        if (parent === undefined) return
        assert.throws(() => writeFileSync(join(directory, 'a'), ''), { code: 'EROFS' })
        assert.throws(() => unlinkSync(join(directory, 'a')), { code: 'EROFS' })
        assert.throws(() => chmodSync(join(directory, 'a'), 0), { code: 'EROFS' })
        assert.deepEqual(await pictureOfDirectory(directory), await pictureOf(snapshots, 'base'))
      })
      assert.deepEqual(await snapshots.mounts(key), await snapshots.mounts(key))
      await assert.rejects(snapshots.commit('committed', key), { kind: 'conflict' })
      await snapshots.remove(key)
    }
  },

  async 'keys and names share one space: none is given twice'(subject) {
    const { snapshots, scratch } = subject
    await commitChanged(subject, 'committed', { change: writing('a', '1') })
    await snapshots.prepare('active', 'committed')
    await snapshots.view('view', 'committed')
    for (const taken of ['active', 'view', 'committed']) {
      await assert.rejects(snapshots.prepare(taken, undefined), EXISTS)
      await assert.rejects(snapshots.view(taken, 'committed'), EXISTS)
      await assert.rejects(snapshots.commit(taken, 'active'), EXISTS)
    }
    // What was refused changed nothing: the key can still be mounted, changed and committed.
    await mounted(scratch, await snapshots.mounts('active'), writing('b', '2'))
    await snapshots.commit('other', 'active')
    assert.deepEqual(await shapeOf(snapshots, 'other'), { a: 'file 1', b: 'file 2' })
  },

  async 'keys and names are any text, and no paths'({ snapshots, root, scratch }) {
    const texts = ['a/../../b', '..', '/etc', `sha256:${'0'.repeat(64)}`, 'ünïcode ☃', "'; DROP TABLE snapshots --", 'x'.repeat(5000), '%_']
    for (const text of texts) await snapshots.prepare(text, undefined)
    for (const text of texts) {
      await mounted(scratch, await snapshots.mounts(text), writing('name', text.slice(0, 100)))
      await snapshots.commit(`${text} committed`, text)
    }
    for (const text of texts) assert.deepEqual(await shapeOf(snapshots, `${text} committed`), { name: `file ${text.slice(0, 100)}` })
    assert.equal((await namesOf(snapshots)).length, texts.length)
    assert.equal(existsSync(join(root, 'b')), false)
  },

  async 'every method says notFound for what is not there'({ snapshots }) {
    const calls: readonly (() => Promise<unknown>)[] = [
      () => snapshots.prepare('key', 'absent'),
      () => snapshots.view('key', 'absent'),
      () => snapshots.commit('name', 'absent'),
      () => snapshots.mounts('absent'),
      () => snapshots.stat('absent'),
      () => snapshots.usage('absent'),
      () => snapshots.remove('absent'),
      () => snapshots.tree('absent'),
      () => changesOf(snapshots, 'absent'),
      async () => snapshots.describe('absent'),
    ]
    for (const call of calls) await assert.rejects(call, NO_SUCH_SNAPSHOT, String(call))
    assert.equal(snapshots.has('absent'), false)
    assert.deepEqual(await namesOf(snapshots), [])
  },

  async 'only active states are committed, only committed ones are parents, only the others are mounted'(subject) {
    const { snapshots } = subject
    await commitChanged(subject, 'committed', { change: writing('a', '1') })
    await snapshots.prepare('active', 'committed')
    await snapshots.view('view', 'committed')
    for (const key of ['view', 'committed']) await assert.rejects(snapshots.commit('new', key), { kind: 'conflict' })
    for (const parent of ['active', 'view']) {
      await assert.rejects(snapshots.prepare('new', parent), { kind: 'invalidArgument' })
      await assert.rejects(snapshots.view('new', parent), { kind: 'invalidArgument' })
    }
    await assert.rejects(snapshots.mounts('committed'), { kind: 'conflict' })
    assert.deepEqual(await namesOf(snapshots), ['active', 'committed', 'view'])
  },

  async 'remove() refuses a state that others stand on, and takes leaves of every kind'(subject) {
    const { snapshots, statesOnDisk, root } = subject
    await commitChanged(subject, 'base', { change: writing('a', '1') })
    await commitChanged(subject, 'top', { parent: 'base', change: writing('b', '2') })
    await snapshots.prepare('active', 'top')
    await snapshots.view('view', 'base')
    const conflict = { kind: 'conflict', code: 'STRATA_SNAPSHOT_HAS_CHILDREN' } as const
    await assert.rejects(snapshots.remove('base'), conflict)
    await assert.rejects(snapshots.remove('top'), conflict)
    await snapshots.remove('active')
    await snapshots.remove('top')
    await assert.rejects(snapshots.remove('base'), conflict)
    await snapshots.remove('view')
    await snapshots.remove('base')
    for (const name of ['active', 'view', 'top', 'base']) await assert.rejects(snapshots.stat(name), NO_SUCH_SNAPSHOT)
    assert.equal(await statesOnDisk(root), 0)
    // A name that was removed is a new one.
    await commitChanged(subject, 'base', { change: writing('c', '3') })
    assert.deepEqual(await shapeOf(snapshots, 'base'), { c: 'file 3' })
  },

  async 'stat() and list() tell name, kind, parent and time'(subject) {
    const { snapshots } = subject
    const before = Date.now()
    await commitChanged(subject, 'base', { change: writing('a', '1') })
    await commitChanged(subject, 'top', { parent: 'base', change: writing('a', '2') })
    await snapshots.prepare('active', 'top')
    await snapshots.view('view', 'base')
    const infos = await Array.fromAsync(snapshots.list())
    assert.deepEqual(Object.fromEntries(infos.map(({ name, kind, parent }) => [name, [kind, parent]])), {
      base: ['committed', undefined],
      top: ['committed', 'base'],
      active: ['active', 'top'],
      view: ['view', 'base'],
    })
    for (const info of infos) {
      assert.deepEqual(await snapshots.stat(info.name), info)
      assert.ok(info.createdAt.getTime() >= before && info.createdAt.getTime() <= Date.now())
    }
    assert.deepEqual(
      infos.filter(({ name }) => snapshots.has(name)).map(({ name }) => name),
      ['base', 'top'],
    )
  },

  async 'usage() counts content bytes and inodes, an inode once'(subject) {
    const { snapshots, scratch } = subject
    await commitChanged(subject, 'base', {
      change(directory) {
        mkdirSync(join(directory, 'd'))
        writeFileSync(join(directory, 'd/a'), Buffer.alloc(10_000))
        linkSync(join(directory, 'd/a'), join(directory, 'd/b'))
        symlinkSync('a', join(directory, 'd/l'))
        writeFileSync(join(directory, 'c'), '12345')
      },
    })
    // The root, d, a = b, l and c.
    assert.deepEqual(await snapshots.usage('base'), { bytes: 10_005, inodes: 5 })
    const mounts = await snapshots.prepare('key', 'base')
    const empty = await snapshots.usage('key')
    await mounted(scratch, mounts, writing('new', 'x'.repeat(700)))
    const { bytes, inodes } = await snapshots.usage('key')
    assert.deepEqual([bytes - empty.bytes, inodes - empty.inodes], [700, 1])
    assert.deepEqual(await snapshots.usage('base'), { bytes: 10_005, inodes: 5 })
  },

  async 'describe() names directories of the machine'(subject) {
    const { snapshots } = subject
    await commitChanged(subject, 'base', { change: writing('a', '1') })
    await snapshots.prepare('key', 'base')
    for (const name of ['base', 'key']) {
      const facts = snapshots.describe(name)
      assert.ok(Object.keys(facts).length > 0)
      for (const path of Object.values(facts)) assert.match(path, /^\//)
    }
  },

  async 'two Snapshotters of one root see the same states'({ snapshots, openSnapshotter, root }) {
    await using other = await openSnapshotter(root)
    await snapshots.prepare('key', undefined)
    await assert.rejects(other.prepare('key', undefined), EXISTS)
    await other.commit('name', 'key')
    assert.equal(snapshots.has('name'), true)
    await snapshots.remove('name')
    assert.deepEqual(await namesOf(other), [])
  },

  async 'calls for one key at the same time: one succeeds, the others say why not'(subject) {
    const { snapshots, statesOnDisk, root } = subject
    await commitChanged(subject, 'base', { change: writing('a', '1') })
    const succeeded = async (calls: readonly Promise<unknown>[], kind: RegExp): Promise<number> => {
      const results = await Promise.allSettled(calls)
      for (const result of results) if (result.status === 'rejected') assert.match((result.reason as { kind: string }).kind, kind)
      return results.filter(({ status }) => status === 'fulfilled').length
    }
    const five = [1, 2, 3, 4, 5]
    assert.equal(
      await succeeded(
        five.map(() => snapshots.prepare('key', 'base')),
        /^alreadyExists$/,
      ),
      1,
    )
    assert.equal(
      await succeeded(
        five.map(n => snapshots.commit(`name ${n}`, 'key')),
        /^notFound$/,
      ),
      1,
    )
    const [name = ''] = (await namesOf(snapshots)).filter(each => each !== 'base')
    assert.equal(
      await succeeded(
        five.map(() => snapshots.remove(name)),
        /^notFound$/,
      ),
      1,
    )
    assert.equal(await snapshots.removeOrphans(), 0)
    assert.equal(await statesOnDisk(root), 1)
  },

  async 'removeOrphans() takes nothing that anybody has'(subject) {
    const { snapshots, statesOnDisk, root } = subject
    await commitChanged(subject, 'base', { change: writing('a', '1') })
    await snapshots.prepare('active', 'base')
    await snapshots.view('view', 'base')
    assert.equal(await snapshots.removeOrphans(), 0)
    assert.equal(await statesOnDisk(root), 3)
    await removeAll(snapshots)
    assert.equal(await statesOnDisk(root), 0)
  },
}
