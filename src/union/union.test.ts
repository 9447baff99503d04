import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  bytesOf,
  dir,
  file,
  hardlink,
  indexOf,
  type Member,
  opaque,
  pictureOf,
  symlink,
  tarOf,
  whiteout,
} from '../../test/layer/layerTars.ts'
import { indexedLayer, indexLayerHere } from '../../test/union/layerStacks.ts'
import { type Change, packLayer } from '../layer/index.ts'
import { layerUnion, MemoryTree, Union, type UnionBranch } from './index.ts'

const epoch = { seconds: 0, nanoseconds: 0 }
const root = { mode: 0o755, uid: 0, gid: 0, modifiedAt: epoch, xattrs: new Map<string, Uint8Array>() }

async function layerOf(...members: readonly Member[]): Promise<UnionBranch> {
  return { layer: indexedLayer(await indexOf(...members), tarOf(...members)), access: 'ro+wh' }
}

async function linesOf(changes: AsyncIterable<Change>): Promise<string[]> {
  const lines: string[] = []
  for await (const { kind, path } of changes) lines.push(`${kind} ${path}`)
  return lines
}

/** A tree with a 0:0 device at `gone` and an opaque directory `d`. */
async function marked(): Promise<MemoryTree> {
  const tree = new MemoryTree({ root })
  await tree.create('gone', { type: 'character', mode: 0, device: { major: 0, minor: 0 } })
  await tree.create('d', { type: 'directory', mode: 0o700, xattrs: new Map([['trusted.overlay.opaque', Buffer.from('y')]]) })
  await tree.create('d/own', { type: 'file', mode: 0o600 })
  return tree
}

test('Union reads marks of deletions in branches that are ro+wh or rw, and neither believes nor shows them in ro', async () => {
  const base = await layerOf(file('gone', 'here'), dir('d'), file('d/low'))
  const marks = await marked()
  for (const top of [
    { tree: marks, access: 'ro+wh' },
    { tree: marks, access: 'rw' },
  ] as const) {
    const hiding = new Union([top, base])
    assert.deepEqual(await hiding.list(''), ['d'])
    assert.deepEqual(await hiding.list('d'), ['own'])
    assert.equal(await hiding.lstat('gone'), undefined)
  }
  const plain = new Union([{ tree: await marked(), access: 'ro' }, base])
  assert.deepEqual(await plain.list(''), ['d', 'gone'])
  assert.deepEqual(await plain.list('d'), ['low', 'own'])
  assert.equal((await bytesOf(plain.open('gone'))).toString(), 'here')
  assert.deepEqual((await plain.lstat('d'))?.xattrs, new Map())
  assert.equal((await plain.lstat('d'))?.mode, 0o700)
})

test('Union changes nothing without a writable branch, and has it on top only', async () => {
  const base = await layerOf(file('f'))
  const union = new Union([base])
  await assert.rejects(union.unlink('f'), { code: 'EROFS' })
  await assert.rejects(union.create('g', { type: 'fifo', mode: 0 }), { code: 'EROFS' })
  assert.deepEqual(await linesOf(union.changes()), [])
  assert.throws(() => new Union([base, { tree: new MemoryTree(), access: 'rw' }]), TypeError)
})

test('Union.changes() packs to a layer that, on the same image, shows what the union shows', async () => {
  const base = [
    dir('etc', { modifiedAt: epoch }),
    file('etc/conf', 'old', { modifiedAt: epoch }),
    file('etc/gone'),
    dir('opt/app'),
    file('opt/app/old'),
    file('bin/tool', 'T'.repeat(100_000)),
    hardlink('bin/alias', 'bin/tool'),
  ]
  const image = await layerOf(...base)
  const now = (): typeof epoch => ({ seconds: 1234, nanoseconds: 5 })
  const union = new Union([{ tree: new MemoryTree({ root, now }), access: 'rw' }, image])
  await union.write('etc/conf', 1, Buffer.from('K'))
  await union.unlink('etc/gone')
  await union.unlink('opt/app/old')
  await union.removeDirectory('opt/app')
  await union.create('opt/app', { type: 'directory', mode: 0o750, uid: 3, gid: 4 })
  await union.create('opt/app/new', { type: 'file', mode: 0o640, content: { size: 3, open: () => asStream('new') } })
  await union.link('opt/app/new', 'opt/app/again')
  await union.chmod('bin/tool', 0o4755)
  await union.rename('etc/conf', 'etc/config')
  assert.deepEqual(await linesOf(union.changes()), [
    'modify bin',
    'modify bin/tool',
    'modify etc',
    'delete etc/conf',
    'add etc/config',
    'delete etc/gone',
    'modify opt',
    'modify opt/app',
    'add opt/app/again',
    'add opt/app/new',
    'delete opt/app/old',
  ])
  const tar = await bytesOf(packLayer(union.changes(), union))
  const packed = await indexLayerHere(tar)
  const again = new Union([{ layer: indexedLayer(packed, tar), access: 'ro+wh' }, image])
  assert.deepEqual(await pictureOf(again, { rootTime: false }), await pictureOf(union, { rootTime: false }))
})

async function* asStream(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text)
}

test('Union lets calls take effect one after the other', async () => {
  const union = new Union([{ tree: new MemoryTree({ root }), access: 'rw' }, await layerOf(file('d/f', 'x'.repeat(100)))])
  const calls = [
    union.rename('d/f', 'd/g'),
    union.write('d/g', 0, Buffer.from('1')),
    union.link('d/g', 'h'),
    union.unlink('d/g'),
    union.write('h', 1, Buffer.from('2')),
  ]
  await Promise.all(calls)
  assert.deepEqual(await union.list('d'), [])
  assert.equal((await bytesOf(union.open('h', { end: 3 }))).toString(), '12x')
  const both = await Promise.allSettled([union.create('n', { type: 'fifo', mode: 0 }), union.create('n', { type: 'fifo', mode: 0 })])
  assert.deepEqual(
    both.map(each => each.status),
    ['fulfilled', 'rejected'],
  )
})

test('hostile #1, #29: Union takes names only: no dots, no empty ones, no NUL, none that Linux could not have', async () => {
  const union = new Union([{ tree: new MemoryTree({ root }), access: 'rw' }])
  for (const path of ['..', '../x', 'a/../b', '.', 'a//b', '/a', 'a/', 'nul\0']) {
    await assert.rejects(union.create(path, { type: 'directory', mode: 0o755 }), { code: 'EINVAL' }, path)
    assert.equal(await union.lstat(path), undefined)
  }
  for (const path of ['n'.repeat(256), 'é'.repeat(128), Array.from({ length: 2100 }, () => 'x').join('/')]) {
    await assert.rejects(union.create(path, { type: 'directory', mode: 0o755 }), { code: 'ENAMETOOLONG' }, path.slice(0, 9))
  }
  await union.create('n'.repeat(255), { type: 'fifo', mode: 0 })
})

test('hostile #2, #10: Union follows no link: what looks like a way out is an error', async () => {
  const union = new Union([{ tree: new MemoryTree({ root }), access: 'rw' }, await layerOf(symlink('out', '/etc'), file('f'))])
  await assert.rejects(union.create('out/passwd', { type: 'file', mode: 0o644 }), { code: 'ELOOP', path: 'out/passwd', syscall: 'create' })
  await assert.rejects(union.write('out', 0, Buffer.from('x')), { code: 'ELOOP' })
  await assert.rejects(union.unlink('f/x'), { code: 'ENOTDIR' })
  await assert.rejects(union.unlink('x/x'), { code: 'ENOENT' })
  assert.equal(await union.lstat('out/passwd'), undefined)
})

test('hostile #24, #25: nobody can make a mark of a deletion through a Union', async () => {
  const union = new Union([{ tree: new MemoryTree({ root }), access: 'rw' }, await layerOf(dir('d'), file('d/f'))])
  await assert.rejects(union.create('x', { type: 'character', mode: 0, device: { major: 0, minor: 0 } }), { code: 'EPERM' })
  const opaqueMark = new Map([['trusted.overlay.opaque', Buffer.from('y')]])
  await assert.rejects(union.create('x', { type: 'directory', mode: 0o755, xattrs: opaqueMark }), { code: 'ENOTSUP' })
  for (const key of ['trusted.overlay.opaque', 'user.overlay.redirect', 'strange.key']) {
    await assert.rejects(union.setXattr('d', key, Buffer.from('y')), { code: 'ENOTSUP' }, key)
  }
  await assert.rejects(union.setXattr('d', `user.${'k'.repeat(251)}`, Buffer.from('y')), { code: 'ERANGE' })
  await assert.rejects(union.setXattr('d', 'user.k', Buffer.alloc(65_537)), { code: 'E2BIG' })
  assert.deepEqual(await union.list('d'), ['f'])
})

test('hostile #21: Union refuses places that no file has', async () => {
  const union = new Union([{ tree: new MemoryTree({ root }), access: 'rw' }, await layerOf(file('f'))])
  for (const place of [-1, 0.5, Number.NaN]) await assert.rejects(union.truncate('f', place), { code: 'EINVAL' }, String(place))
  await assert.rejects(union.truncate('f', 2 ** 53), { code: 'EFBIG' })
  await assert.rejects(union.write('f', 2 ** 53 - 1, Buffer.from('xx')), { code: 'EFBIG' })
  assert.deepEqual(await linesOf(union.changes()), [])
})

test('hostile #37: a changed name of a lower inode becomes a file of its own', async () => {
  const image = await layerOf(file('a', 'same'), hardlink('b', 'a'), hardlink('c', 'a'))
  const union = new Union([{ tree: new MemoryTree({ root }), access: 'rw' }, image])
  assert.equal((await union.lstat('a'))?.links, 3)
  await union.write('a', 0, Buffer.from('S'))
  assert.equal((await bytesOf(union.open('b'))).toString(), 'same')
  assert.equal((await union.lstat('a'))?.links, 1)
  assert.notEqual((await union.lstat('a'))?.inode, (await union.lstat('b'))?.inode)
  assert.equal((await union.lstat('b'))?.inode, (await union.lstat('c'))?.inode)
})

test('Union over layers: what is removed and made again hides all that was there', async () => {
  const branches = [
    await layerOf(opaque('x'), file('x/second')),
    await layerOf(dir('x'), file('x/first'), file('y')),
    await layerOf(file('z')),
  ]
  const union = new Union([{ tree: new MemoryTree({ root }), access: 'rw' }, ...branches])
  await union.unlink('x/second')
  await union.removeDirectory('x')
  await union.create('x', { type: 'directory', mode: 0o755 })
  assert.deepEqual(await union.list('x'), [])
  await assert.rejects(union.rename('x', 'y'), { code: 'ENOTDIR' })
  await union.unlink('y')
  await union.rename('x', 'y')
  assert.deepEqual(await union.list(''), ['y', 'z'])
  assert.deepEqual(await union.list('y'), [])
  assert.deepEqual(await linesOf(union.changes()), ['delete x', 'modify y'])
})

test('layerUnion() can be a branch itself, with whiteouts of its own settled', async () => {
  const layers = [[file('a'), file('b')], [whiteout('a')]].map(async members => indexedLayer(await indexOf(...members), tarOf(...members)))
  const image = layerUnion((await Promise.all(layers)).toReversed())
  const union = new Union([
    { tree: new MemoryTree({ root }), access: 'rw' },
    { tree: image, access: 'ro' },
  ])
  assert.deepEqual(await union.list(''), ['b'])
  await union.create('a', { type: 'symlink', mode: 0o777, linkTarget: 'b' })
  assert.deepEqual(await linesOf(union.changes()), ['add a'])
})
