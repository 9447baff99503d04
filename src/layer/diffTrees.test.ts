import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { link, mkdir, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { CURRENT_DIRECTORY, mount, removeTreeAt, setXattrAt, unmount } from '../host/index.ts'
import { digestOf } from '../oci/index.ts'
import {
  applyHere,
  bytesOf,
  device,
  dir,
  fifo,
  file,
  hardlink,
  makeDirectory,
  type Member,
  needsRoot,
  pictureOfDirectory,
  scratchDirectory,
  symlink,
  tarOf,
} from '../../test/layer/layerTars.ts'
import { type Change, diffTrees, directoryTree, flatten, overlayChanges, packLayer } from './index.ts'

const skip = needsRoot

const names = fc.constantFrom('a', 'b', 'a.b')
const paths = fc.array(names, { minLength: 1, maxLength: 2 }).map(parts => parts.join('/'))
const attributes = fc.record({
  mode: fc.constantFrom(0o644, 0o4755, 0o1777),
  uid: fc.nat(2),
  modifiedAt: fc.constantFrom({ seconds: 5, nanoseconds: 0 }, { seconds: -5, nanoseconds: 7 }),
  xattrs: fc.constantFrom(new Map<string, Uint8Array>(), new Map([['user.x', Buffer.from('1')]]), new Map([['user.x', Buffer.from('2')]])),
})
const plain = attributes.map(each => ({ ...each, xattrs: new Map() }))
const members: fc.Arbitrary<Member> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(paths, fc.constantFrom('', 'x', 'y', 'long'.repeat(1000)), attributes)
      .map(([path, bytes, more]) => file(path, bytes, more)),
  },
  { weight: 2, arbitrary: fc.tuple(paths, attributes).map(([path, more]) => dir(path, more)) },
  fc.tuple(paths, fc.constantFrom('a', '/b/c'), plain).map(([path, target, more]) => symlink(path, target, more)),
  {
    weight: 4,
    arbitrary: fc.tuple(paths, names).map(([path, target]) => hardlink(path, target, { modifiedAt: { seconds: 5, nanoseconds: 0 } })),
  },
  fc.tuple(paths, plain).map(([path, more]) => fifo(path, more)),
  paths.map(path => device(path, 'block', 7, 300)),
)

/** Makes a tree of what can be made of the members, one after the other. */
async function makeTree(directory: string, list: readonly Member[]): Promise<void> {
  for (const member of list) await applyHere(tarOf(member), directory, { dialect: 'remove' }).catch(() => undefined)
}

async function changesOf(changes: AsyncIterable<Change>): Promise<string[]> {
  const lines: string[] = []
  for await (const change of changes) lines.push(`${{ add: 'A', modify: 'C', delete: 'D' }[change.kind]} /${change.path}`)
  return lines
}

test('apply ∘ pack ∘ diff is the identity on random trees', { skip }, async t => {
  const scratch = await scratchDirectory(t)
  let run = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(members, { maxLength: 14 }),
      fc.array(members, { maxLength: 8 }),
      fc.array(paths, { maxLength: 3 }),
      async (base, edits, gone) => {
        run += 1
        const lower = await makeDirectory(scratch, `lower${run}`)
        const upper = await makeDirectory(scratch, `upper${run}`)
        await makeTree(lower, base)
        await makeTree(upper, [...base, ...edits])
        for (const path of gone) {
          try {
            removeTreeAt(CURRENT_DIRECTORY, join(upper, path))
          } catch {
            // A path below a file.
          }
        }
        const below = directoryTree(lower)
        const above = directoryTree(upper)
        const tar = await bytesOf(packLayer(diffTrees(below, above), above))
        assert.equal(
          digestOf(await bytesOf(packLayer(diffTrees(below, above), above))),
          digestOf(tar),
          'the same change gives the same digest',
        )
        await applyHere(tar, lower, { dialect: 'remove' })
        assert.deepEqual(await pictureOfDirectory(lower, { rootTime: false }), await pictureOfDirectory(upper, { rootTime: false }))
        assert.deepEqual(await changesOf(diffTrees(below, above)), [])
        await below.close()
        await above.close()
        // An export is the difference to nothing.
        const copy = await makeDirectory(scratch, `copy${run}`)
        const tree = directoryTree(upper)
        await applyHere(await bytesOf(flatten(tree)), copy, { dialect: 'remove' })
        await tree.close()
        assert.deepEqual(await pictureOfDirectory(copy, { rootTime: false }), await pictureOfDirectory(upper, { rootTime: false }))
        for (const path of [lower, upper, copy]) removeTreeAt(CURRENT_DIRECTORY, path)
      },
    ),
    { numRuns: 120 },
  )
})

test('diffTrees() finds what only the bytes of a file tell', { skip }, async t => {
  const scratch = await scratchDirectory(t)
  const [lower, upper] = [await makeDirectory(scratch, 'lower'), await makeDirectory(scratch, 'upper')]
  const big = Buffer.alloc(700_000, 'x')
  const other = Buffer.from(big)
  other[650_000]! ^= 1
  await applyHere(tarOf(file('same', big), file('other', big), file('d/deep', 'old'), file('gone/x'), file('type')), lower, {
    dialect: 'remove',
  })
  await applyHere(tarOf(file('same', big), file('other', other), file('d/deep', 'new'), dir('type'), file('type/new')), upper, {
    dialect: 'remove',
  })
  const [below, above] = [directoryTree(lower), directoryTree(upper)]
  assert.deepEqual(await changesOf(diffTrees(below, above)), ['C /d', 'C /d/deep', 'D /gone', 'C /other', 'C /type', 'A /type/new'])
  assert.deepEqual(
    (await changesOf(diffTrees(undefined, above))).map(line => line[0]),
    ['A', 'A', 'A', 'A', 'A', 'A'],
  )
  await below.close()
  await above.close()
})

test('overlayChanges() of a real upper directory is diffTrees() of the two mounts', { skip }, async t => {
  const scratch = await scratchDirectory(t)
  const lower = await makeDirectory(scratch, 'lower')
  const upper = await makeDirectory(scratch, 'upper')
  const work = await makeDirectory(scratch, 'work')
  const merged = await makeDirectory(scratch, 'merged')
  await applyHere(
    tarOf(
      file('etc/passwd', 'root'),
      file('etc/shadow', 'x'),
      file('var/log/a', 'a'),
      file('var/log/b', 'b'),
      file('opt/x/y'),
      file('h1', 'linked'),
      hardlink('h2', 'h1'),
      symlink('bin', 'usr/bin'),
      file('usr/bin/sh'),
      file('same', 'same'),
    ),
    lower,
    { dialect: 'remove' },
  )
  const options = [`lowerdir=${lower}`, `upperdir=${upper}`, `workdir=${work}`, 'redirect_dir=off', 'metacopy=off', 'index=off']
  mount({ type: 'overlay', source: 'overlay', options }, merged)
  try {
    const at = (path: string): string => join(merged, path)
    await writeFile(at('etc/passwd'), 'changed')
    await rm(at('etc/shadow'))
    await rm(at('var/log'), { recursive: true })
    await mkdir(at('var/log'))
    await writeFile(at('var/log/b'), 'new')
    await rm(at('opt'), { recursive: true })
    await writeFile(at('opt'), 'a file now')
    await rename(at('usr/bin/sh'), at('usr/bin/dash'))
    await link(at('h1'), at('h3'))
    await rm(at('bin'))
    await mkdir(at('bin'))
    // Copied up, and the same as before.
    execFileSync('sh', ['-c', `exec 3<>${at('same')}`])
    await writeFile(at('tmp'), '')
    await rm(at('tmp'))
    setXattrAt(CURRENT_DIRECTORY, at('etc/passwd'), { key: 'user.mine', value: Buffer.from('1') })
    const [below, shown] = [directoryTree(lower), directoryTree(merged)]
    const found = await changesOf(overlayChanges(upper, below))
    assert.deepEqual(
      found.filter(line => !/^C \/h2$/.test(line)),
      [
        'C /bin',
        'C /etc',
        'C /etc/passwd',
        'D /etc/shadow',
        'C /h1',
        'A /h3',
        'C /opt',
        'C /usr',
        'C /usr/bin',
        'A /usr/bin/dash',
        'D /usr/bin/sh',
        'C /var',
        'C /var/log',
        'D /var/log/a',
        'C /var/log/b',
      ],
    )
    const tar = await bytesOf(packLayer(overlayChanges(upper, below), shown))
    assert.equal(tar.includes('overlay'), false)
    const again = await makeDirectory(scratch, 'again')
    const tree = directoryTree(lower)
    await applyHere(await bytesOf(flatten(tree)), again, { dialect: 'remove' })
    await applyHere(tar, again, { dialect: 'remove' })
    assert.deepEqual(
      await pictureOfDirectory(again, { rootTime: false, links: false }),
      await pictureOfDirectory(merged, { rootTime: false, links: false }),
    )
    await Promise.all([below.close(), shown.close(), tree.close()])
  } finally {
    // A failed test leaves descriptors open in it.
    unmount(merged, { detach: true })
  }
})

test('hostile #38: overlayChanges() refuses files whose content or name is elsewhere', { skip }, async t => {
  const scratch = await scratchDirectory(t)
  for (const key of ['trusted.overlay.metacopy', 'trusted.overlay.redirect']) {
    const [lower, upper] = [await makeDirectory(scratch, `lower${key}`), await makeDirectory(scratch, `upper${key}`)]
    await writeFile(join(upper, 'stub'), '')
    setXattrAt(CURRENT_DIRECTORY, join(upper, 'stub'), { key, value: Buffer.from('/x') })
    const below = directoryTree(lower)
    await assert.rejects(changesOf(overlayChanges(upper, below)), { code: 'STRATA_OVERLAY_STUB' })
    await below.close()
  }
})

test('hostile #11: packLayer() rejects a file that became smaller and cuts one that grew', { skip }, async t => {
  const scratch = await scratchDirectory(t)
  const root = await makeDirectory(scratch, 'root')
  for (const [size, more] of [
    [100, 50],
    [1_000_000, 700_000],
  ] as const) {
    await writeFile(join(root, 'live'), Buffer.alloc(size, 'x'))
    await utimes(join(root, 'live'), 1000, 1000)
    const tree = directoryTree(root)
    const changes: Change[] = []
    for await (const change of diffTrees(undefined, tree)) changes.push(change)
    await writeFile(join(root, 'live'), Buffer.alloc(size + more, 'y'))
    const tar = await bytesOf(packLayer(changes, tree))
    assert.equal(tar.length, 512 + Math.ceil(size / 512) * 512 + 1024)
    await writeFile(join(root, 'live'), Buffer.alloc(size - more, 'z'))
    await assert.rejects(bytesOf(packLayer(changes, tree)), { code: 'STRATA_FILE_CHANGED' })
    await tree.close()
  }
})

test('packLayer() leaves out sockets and the xattrs of overlayfs, and refuses names that mean deletions', { skip }, async t => {
  const scratch = await scratchDirectory(t)
  const root = await makeDirectory(scratch, 'root')
  const server = createServer().listen(join(root, 'socket'))
  t.after(() => server.close())
  await writeFile(join(root, 'f'), 'x')
  setXattrAt(CURRENT_DIRECTORY, join(root, 'f'), { key: 'trusted.overlay.origin', value: Buffer.from('x') })
  const tree = directoryTree(root)
  assert.deepEqual(await changesOf(diffTrees(undefined, tree)), ['A /f', 'A /socket'])
  const tar = await bytesOf(packLayer(diffTrees(undefined, tree), tree))
  assert.deepEqual([tar.includes('socket'), tar.includes('overlay')], [false, false])
  await writeFile(join(root, '.wh.f'), '')
  await assert.rejects(bytesOf(packLayer(diffTrees(undefined, tree), tree)), { code: 'STRATA_NAME_RESERVED' })
  await tree.close()
})

test('packLayer() of nothing is the empty tar', async () => {
  const nothing = { lstat: async () => undefined, list: async () => [], async *open() {}, close: async () => undefined }
  assert.equal(digestOf(await bytesOf(packLayer([], nothing))), 'sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef')
})
