import assert from 'node:assert/strict'
import { chmod, lstat, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { errnoOf, isStrataError } from '../base/index.ts'
import { CURRENT_DIRECTORY, getXattrAt, mount, removeTreeAt, unmount } from '../host/index.ts'
import {
  applyHere,
  dir,
  fifo,
  file,
  hardlink,
  makeDirectory,
  type Member,
  needsRoot,
  opaque,
  type Picture,
  pictureOfDirectory,
  scratchDirectory,
  symlink,
  tarOf,
  whiteout,
} from '../../test/layer/layerTars.ts'
import { completeLayer } from './index.ts'

const skip = needsRoot

interface Stack {
  readonly picture: Picture
  readonly directories: readonly string[]
}

/** What overlayfs shows of a stack of layers, each applied alone and completed, base first. */
async function throughOverlay(scratch: string, layers: readonly (readonly Member[])[]): Promise<Stack> {
  // overlayfs wants at least two.
  const directories = [await emptyDirectory(scratch, 'empty')]
  for (const [i, layer] of layers.entries()) {
    const directory = await makeDirectory(scratch, `layer${i}`)
    await applyHere(tarOf(...layer), directory)
    await completeLayer(directory, directories)
    directories.unshift(directory)
  }
  const target = await makeDirectory(scratch, 'merged')
  mount({ type: 'overlay', source: 'overlay', options: ['ro', `lowerdir=${directories.join(':')}`] }, target)
  try {
    return { picture: await pictureOfDirectory(target, { links: false }), directories }
  } finally {
    unmount(target, { detach: true })
  }
}

/** What is there after applying one layer on top of the other. */
async function throughRemoval(scratch: string, layers: readonly (readonly Member[])[]): Promise<Picture> {
  const directory = await emptyDirectory(scratch, 'removed')
  for (const layer of layers) await applyHere(tarOf(...layer), directory, { dialect: 'remove' })
  return pictureOfDirectory(directory, { links: false })
}

async function emptyDirectory(scratch: string, name: string): Promise<string> {
  const path = await makeDirectory(scratch, name)
  await chmod(path, 0o755)
  await utimes(path, 0, 0)
  return path
}

/** The picture, or the code of the error. */
async function outcome(run: () => Promise<Picture>): Promise<Picture | string> {
  try {
    return await run()
  } catch (error) {
    assert.ok(isStrataError(error), String(error))
    assert.equal(errnoOf(error.cause) === undefined || error.code.startsWith('STRATA_'), true)
    return error.code
  }
}

const names = fc.constantFrom('a', 'b', 'c')
const paths = fc.array(names, { minLength: 1, maxLength: 3 }).map(parts => parts.join('/'))
const attributes = fc.record({
  mode: fc.constantFrom(0o600, 0o2755, 0o1777),
  uid: fc.nat(2),
  modifiedAt: fc.constantFrom({ seconds: 5, nanoseconds: 0 }, { seconds: -5, nanoseconds: 7 }),
  xattrs: fc.constantFrom(new Map<string, Uint8Array>(), new Map([['user.x', Buffer.from('1')]]), new Map([['user.y', Buffer.from('2')]])),
})
const plain = attributes.map(each => ({ ...each, xattrs: new Map<string, Uint8Array>() }))
const members: fc.Arbitrary<Member> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.tuple(paths, fc.constantFrom('', 'x', 'yy'), attributes).map(([path, bytes, more]) => file(path, bytes, more)),
  },
  { weight: 3, arbitrary: fc.tuple(paths, attributes).map(([path, more]) => dir(path, more)) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(paths, fc.constantFrom('a', '/b', '../c', '../../a/b', '/b/c'), plain)
      .map(([path, target, more]) => symlink(path, target, more)),
  },
  { weight: 2, arbitrary: fc.tuple(paths, paths, plain).map(([path, target, more]) => hardlink(path, target, more)) },
  fc.tuple(paths, plain).map(([path, more]) => fifo(path, more)),
  { weight: 3, arbitrary: paths.map(whiteout) },
  { weight: 2, arbitrary: fc.oneof(paths, fc.constant('')).map(opaque) },
  attributes.map(more => dir('.', more)),
)
const layers = fc.array(fc.array(members, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 4 })

test('overlayfs over layers applied alone shows what applying them on top of each other gives', { skip }, async t => {
  const parent = await scratchDirectory(t)
  let run = 0
  let shown = 0
  await fc.assert(
    fc.asyncProperty(layers, async stack => {
      run += 1
      const scratch = await makeDirectory(parent, `run${run}`)
      try {
        const merged = await outcome(async () => (await throughOverlay(scratch, stack)).picture)
        const removed = await outcome(() => throughRemoval(scratch, stack))
        if (typeof merged !== 'string') shown += 1
        assert.deepEqual(merged, removed)
      } finally {
        removeTreeAt(CURRENT_DIRECTORY, scratch)
      }
    }),
    { numRuns: Number(process.env['STRATA_RUNS'] ?? 150) },
  )
  assert.ok(shown > run / 10, `${shown} of ${run} stacks were shown`)
})

test('hostile #35: every type takes the place of every other, and then hides what that had', { skip }, async t => {
  const things = (path: string): Member[][] => [
    [dir(path), file(`${path}/in`, 'x')],
    [file(`${path}/implied`)],
    [file(path, 'content')],
    [symlink(path, 'target')],
    [fifo(path)],
    [whiteout(path)],
    [opaque(path)],
  ]
  for (const before of things('p')) {
    for (const after of things('p')) {
      const scratch = await scratchDirectory(t)
      const stack = [[...before, file('target/old')], after, [file('other')]]
      const { picture } = await throughOverlay(scratch, stack)
      assert.deepEqual(picture, await throughRemoval(scratch, stack))
      const kept = 'p/in' in picture
      assert.equal(kept, after.some(member => member.path === 'p/in') || (before[1]?.path === 'p/in' && after[0]!.path === 'p/implied'))
    }
  }
})

test('hostile #37: hard links to files of the layers below get a copy of these, with all their attributes', { skip }, async t => {
  const scratch = await scratchDirectory(t)
  const times = { modifiedAt: { seconds: 77, nanoseconds: 1 } }
  const base = [
    dir('usr', { ...times, mode: 0o711 }),
    file('usr/tool', 'content', { mode: 0o4750, uid: 5, xattrs: new Map([['user.k', Buffer.from('v')]]), ...times }),
    symlink('lib', 'usr', times),
    file('hidden', 'still here', times),
  ]
  const upper = [
    hardlink('bin/tool', 'usr/tool'),
    hardlink('bin/again', 'bin/tool'),
    hardlink('through', 'lib/tool'),
    hardlink('kept', 'hidden'),
    whiteout('hidden'),
  ]
  const { picture, directories } = await throughOverlay(scratch, [base, upper])
  assert.deepEqual(picture, await throughRemoval(scratch, [base, upper]))
  const [directory] = directories
  const inodes = await Promise.all(['bin/tool', 'bin/again', 'usr/tool'].map(async path => (await stat(join(directory!, path))).ino))
  assert.equal(new Set(inodes).size, 1)
  assert.match(picture['bin/tool']!, /^file 4750 5:0 77\.1 7 .* user\.k=76$/)
  assert.match(picture['usr']!, /^directory 711 0:0 77\.1/)
  assert.equal(await readFile(join(directory!, 'kept'), 'utf8'), 'still here')
  assert.equal('hidden' in picture, false)
})

test('hostile #37: a hard link to what is nowhere, or is a directory below, is an error', { skip }, async t => {
  for (const target of ['nowhere', 'd', 'f/x', 'loop/x']) {
    const scratch = await scratchDirectory(t)
    const stack = [[dir('d'), file('f'), symlink('loop', 'loop')], [hardlink('l', target)]]
    assert.equal(await outcome(async () => (await throughOverlay(scratch, stack)).picture), 'STRATA_HARD_LINK_TARGET', target)
  }
})

test(
  'hostile #37: hard links to what another one of the layer displaces are refused, in the order of the tar or another',
  { skip },
  async t => {
    // Only through a link below can a layer miss that its own names are in the way.
    const base = [dir('b'), file('b/c', 'x'), file('e', 'y'), symlink('way', '/b')]
    for (const upper of [
      [hardlink('b', 'way/c')],
      [hardlink('x', 'way/c'), hardlink('b', 'e')],
      [hardlink('b', 'e'), hardlink('x', 'way/c')],
      [hardlink('x', 'way/c'), hardlink('b/c', 'e')],
    ]) {
      const scratch = await scratchDirectory(t)
      const what = JSON.stringify(upper)
      assert.equal(await outcome(() => throughRemoval(scratch, [base, upper])), 'STRATA_HARD_LINK_TARGET', what)
      assert.equal(await outcome(async () => (await throughOverlay(scratch, [base, upper])).picture), 'STRATA_HARD_LINK_TARGET', what)
    }
  },
)

test(
  'hard links to one file below whose own name goes are one file, also when completing was cut off and is done again',
  { skip },
  async t => {
    const scratch = await scratchDirectory(t)
    const [lower, directory] = [await makeDirectory(scratch, 'lower'), await makeDirectory(scratch, 'upper')]
    await applyHere(tarOf(file('e', 'y')), lower)
    await applyHere(tarOf(hardlink('x', 'e'), hardlink('y', 'e'), whiteout('e')), directory)
    const pending = await readFile(`${directory}.pending`)
    for (let i = 0; i < 2; i += 1) {
      await writeFile(`${directory}.pending`, pending)
      await completeLayer(directory, [lower])
      const { x, y } = await pictureOfDirectory(directory)
      assert.match(x!, / x=y$/)
      assert.match(y!, / x=y$/)
    }
  },
)

test('completeLayer() gives implied directories the attributes of those below, and may be called again', { skip }, async t => {
  const scratch = await scratchDirectory(t)
  const base = await makeDirectory(scratch, 'base')
  const upper = await makeDirectory(scratch, 'upper')
  const modifiedAt = { seconds: 1234, nanoseconds: 5678 }
  await applyHere(
    tarOf(dir('.', { mode: 0o700 }), dir('etc', { mode: 0o750, uid: 9, modifiedAt, xattrs: new Map([['user.a', Buffer.from('b')]]) })),
    base,
  )
  await applyHere(tarOf(file('etc/new'), whiteout('etc/old'), file('opt/x')), upper)
  for (let i = 0; i < 2; i += 1) {
    await completeLayer(upper, [base])
    const picture = await pictureOfDirectory(upper)
    assert.match(picture['etc']!, /^directory 750 9:0 1234\.5678 .* user\.a=62$/)
    assert.match(picture['opt']!, /^directory 755 0:0 0\.0 /)
    assert.match(picture['']!, /^directory 700 /)
    assert.equal((await lstat(join(upper, 'etc/old'))).isCharacterDevice(), true)
  }
  assert.deepEqual((await readdir(scratch)).toSorted(), ['base', 'upper'])
})

test('hostile #32: an opaque root hides everything below, which overlayfs alone would not do', { skip }, async t => {
  const scratch = await scratchDirectory(t)
  const stack = [[file('a/old'), file('gone/x'), file('b')], [file('a/new'), opaque(''), whiteout('nope')], [file('c')]]
  const { picture, directories } = await throughOverlay(scratch, stack)
  assert.deepEqual(Object.keys(picture), ['', 'a', 'a/new', 'c'])
  assert.equal(getXattrAt(CURRENT_DIRECTORY, join(directories[1]!, 'a'), 'trusted.overlay.opaque')?.toString(), 'y')
})
