import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, open } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { CURRENT_DIRECTORY, mountsBelow, removeTree, unmount } from '../../src/host/index.ts'
import { directory, file, hardlink, layerTar, type Member, whiteout } from '../../src/testing/snapshotter/layerTar.ts'
import { shapeOf } from '../../src/testing/snapshotter/picture.ts'
import { importLayers, mounted, removeAll, type Subject } from '../../src/testing/snapshotter/subject.ts'
import { must } from '../support/commands.ts'
import { LosingDisk, whyNoLosingDisk } from '../support/losingDisk.ts'
import { openSnapshotter } from './erofsModule.ts'

const skip = process.getuid?.() === 0 ? false : 'needs root: it mounts'

async function withStore(name: string, use: (subject: Pick<Subject, 'snapshots' | 'scratch' | 'root'>) => Promise<void>): Promise<void> {
  // Not in /tmp, which may be a tmpfs (Debian 13): EROFS mounts no file of one.
  const place = await mkdtemp('/var/tmp/strata-erofs-mounts-')
  try {
    const [root, scratch] = [join(place, name), join(place, 'scratch')]
    for (const path of [root, scratch]) await mkdir(path, { recursive: true })
    await using snapshots = await openSnapshotter(root)
    await use({ snapshots, scratch, root })
  } finally {
    for (const { target } of mountsBelow(place).toReversed()) unmount(target, { detach: true })
    await removeTree(CURRENT_DIRECTORY, place)
  }
}

const erofsMounts = (root: string): number => mountsBelow(root).filter(({ type }) => type === 'erofs').length

test('erofs mounts a layer once for all states that stand on it, and takes the mount away with the last of them', { skip }, () =>
  withStore('root', async subject => {
    const { snapshots, scratch, root } = subject
    await importLayers(subject, 'one', [layerTar(file('base', 'b'))])
    const child = async (name: string): Promise<void> => {
      await using stack = snapshots.importStack()
      const path = join(scratch, `${name}.tar`)
      writeFileSync(path, layerTar(file(name, name)))
      await stack.add(name, 'one0', { bytes: { path }, indexPath: `${path}.index` })
      await stack.commit()
    }
    await child('left')
    await child('right')
    assert.equal(erofsMounts(root), 0)
    const left = await snapshots.prepare('in left', 'left')
    const right = await snapshots.prepare('in right', 'right')
    assert.equal(erofsMounts(root), 3)
    await mounted(scratch, left, async one =>
      mounted(scratch, right, two => {
        // One inode of one file system: its pages are in memory once.
        const [a, b] = [statSync(join(one, 'base')), statSync(join(two, 'base'))]
        assert.equal(a.ino, b.ino)
        assert.equal(readFileSync(join(one, 'base'), 'utf8') + readFileSync(join(two, 'right'), 'utf8'), 'bright')
      }),
    )
    await snapshots.remove('in left')
    assert.equal(erofsMounts(root), 2)
    await snapshots.commit('committed', 'in right')
    assert.equal(erofsMounts(root), 0)
    await removeAll(snapshots)
  }),
)

test('erofs mounts again what was released or a reboot has unmounted, and shows no empty layer in its place', { skip }, () =>
  withStore('root', async subject => {
    const { snapshots, scratch, root } = subject
    const top = await importLayers(subject, 'layer', [layerTar(file('a', '1')), layerTar(file('b', '2'))])
    const stale = await snapshots.prepare('key', top)
    await snapshots.release('key')
    assert.equal(erofsMounts(root), 0)
    await assert.rejects(
      mounted(scratch, stale, () => undefined),
      { code: 'ENOENT' },
    )
    await mounted(scratch, await snapshots.mounts('key'), path => assert.deepEqual(readdirSync(path), ['a', 'b']))
    for (const { target } of mountsBelow(root)) unmount(target)
    await mounted(scratch, await snapshots.mounts('key'), path => assert.deepEqual(readdirSync(path), ['a', 'b']))
  }),
)

test('a user of a mount that is gone without a word does not keep it', { skip }, () =>
  withStore('root', async subject => {
    const { snapshots, root } = subject
    await importLayers(subject, 'layer', [layerTar(file('a', '1'))])
    await snapshots.prepare('key', 'layer0')
    const [target] = mountsBelow(root)
    writeFileSync(join(target!.target, '..', 'users', '99999'), '')
    await snapshots.remove('key')
    assert.equal(erofsMounts(root), 0)
  }),
)

test('prepare() of a state that is mounted at another time mounts nothing, and mounts() does', { skip }, () =>
  withStore('root', async subject => {
    const { snapshots, root } = subject
    await importLayers(subject, 'layer', [layerTar(file('a', '1'))])
    assert.deepEqual(await snapshots.prepare('key', 'layer0', { unmounted: true }), [])
    assert.equal(erofsMounts(root), 0)
    await snapshots.mounts('key')
    assert.equal(erofsMounts(root), 1)
    await snapshots.remove('key')
    assert.equal(erofsMounts(root), 0)
  }),
)

test('remove() takes away what a killed process was preparing, with its share of a mount', { skip }, () =>
  withStore('root', async subject => {
    const { snapshots, root } = subject
    await importLayers(subject, 'layer', [layerTar(file('a', '1'))])
    await snapshots.prepare('key', 'layer0')
    const { openMetadata } = await import('../../src/metadata/index.ts')
    {
      using metadata = openMetadata(join(root, 'meta.db'))
      metadata.run("UPDATE snapshots SET owner = ? WHERE name = 'key'", JSON.stringify('nobody'))
    }
    assert.equal(erofsMounts(root), 1)
    await assert.rejects(snapshots.remove('key'), { kind: 'notFound' })
    assert.equal(erofsMounts(root), 0)
    assert.equal(await snapshots.removeOrphans(), 0)
  }),
)

for (const name of ['a:b', 'a,b', 'a\\b', 'ünï code', 'x'.repeat(250)]) {
  test(`erofs mounts below a root called ${name.slice(0, 20)}`, { skip }, () =>
    withStore(name, async subject => {
      const { snapshots, scratch } = subject
      const top = await importLayers(subject, 'layer', [layerTar(file('a', '1')), layerTar(file('b', '2'))])
      await mounted(scratch, await snapshots.prepare('key', top), path => {
        writeFileSync(join(path, 'a'), 'new')
        assert.equal(readFileSync(join(path, 'b'), 'utf8'), '2')
      })
      assert.deepEqual(await shapeOf(snapshots, 'key'), { a: 'file new', b: 'file 2' })
    }),
  )
}

test('hostile #39: erofs mounts a stack that is deeper than overlayfs takes: the lowest layers are one image', { skip }, () =>
  withStore('root', async subject => {
    const { snapshots, scratch, root } = subject
    const layers = Array.from({ length: 505 }, (_, n) => {
      const members: Member[] = [file(`f${n}`, String(n)), directory(`d${n % 7}`), file(`d${n % 7}/last`, String(n))]
      if (n === 5) members.push(hardlink('link', 'f2'))
      if (n > 0 && n % 10 === 0) members.push(whiteout(`f${n - 1}`))
      return layerTar(...members)
    })
    const top = await importLayers(subject, 'layer', layers)
    const mounts = await snapshots.prepare('key', top)
    await mounted(scratch, mounts, async path => {
      assert.equal(readFileSync(join(path, 'f0'), 'utf8'), '0')
      assert.equal(readFileSync(join(path, 'link'), 'utf8'), '2')
      assert.equal(statSync(join(path, 'link')).nlink, 2)
      assert.equal(readFileSync(join(path, 'd3/last'), 'utf8'), '500')
      assert.equal(readdirSync(path).includes('f9'), false)
      const shape = await shapeOf(snapshots, 'key')
      assert.deepEqual(
        readdirSync(path).toSorted(),
        Object.keys(shape)
          .filter(name => !name.includes('/'))
          .toSorted(),
      )
    })
    // The lowest 250 are one.
    assert.equal(erofsMounts(root), 256)
    await snapshots.remove('key')
    assert.equal(erofsMounts(root), 0)
  }),
)

/** Layers, each a file of its own and one that all of them have. */
const numbered = (from: number, count: number): Buffer[] =>
  Array.from({ length: count }, (_, n) => layerTar(file(`f${from + n}`, String(from + n)), file('last', String(from + n))))

const mergedImages = (root: string): string[] =>
  readdirSync(join(root, 'snapshots/erofs')).filter(id => existsSync(join(root, 'snapshots/erofs', id, 'merged')))

test('stacks that grow on top of a deep one share its merged image', { skip }, () =>
  withStore('root', async subject => {
    const { snapshots, scratch, root } = subject
    const top = await importLayers(subject, 'layer', numbered(0, 510))
    for (const depth of [500, 501, 505, 510]) {
      await mounted(scratch, await snapshots.prepare('key', `layer${depth - 1}`), path => {
        for (const name of ['last', `f${depth - 1}`]) assert.equal(readFileSync(join(path, name), 'utf8'), String(depth - 1))
        assert.equal(readFileSync(join(path, 'f0'), 'utf8'), '0')
        assert.equal(readdirSync(path).length, depth + 1)
      })
      await snapshots.remove('key')
      assert.equal(mergedImages(root).length, depth > 500 ? 1 : 0, `depth ${depth}`)
    }
    await mounted(scratch, await snapshots.view('view', top), path => assert.equal(readdirSync(path).length, 511))
    await removeAll(snapshots)
    assert.deepEqual(readdirSync(join(root, 'snapshots/erofs')), [])
  }),
)

test('hostile #68: a merged image that is there after a power loss is whole', { skip: skip || whyNoLosingDisk }, async () => {
  await using disk = await LosingDisk.make(512)
  const scratch = await mkdtemp('/var/tmp/strata-erofs-power-')
  const root = join(disk.mountPoint, 'root')
  const look = (path: string): void =>
    assert.equal(readFileSync(join(path, 'f3'), 'utf8') + readFileSync(join(path, 'last'), 'utf8'), '3504')
  try {
    await disk.mount()
    {
      await using snapshots = await openSnapshotter(root)
      const top = await importLayers({ snapshots, scratch }, 'layer', numbered(0, 505))
      await snapshots.prepare('key', top, { unmounted: true })
      // Not mounted further: an overlay that is unmounted syncs the disk.
      await snapshots.mounts('key')
      assert.equal(mergedImages(root).length, 1)
      // The names without the bytes: what a journal may have of the last seconds.
      await must('sync', join(root, 'snapshots/erofs', mergedImages(root)[0]!, 'merged'))
      disk.losePower()
      for (const { target } of mountsBelow(root).toReversed()) unmount(target, { detach: true })
    }
    await disk.unmount({ lazy: true })
    await disk.mount()
    {
      await using snapshots = await openSnapshotter(root)
      await mounted(scratch, await snapshots.mounts('key'), look)
    }
    await disk.unmount()
  } finally {
    await removeTree(CURRENT_DIRECTORY, scratch)
  }
})

test('a store that was moved with its mounts takes them away all the same', { skip }, () =>
  withStore('root', async subject => {
    const { snapshots, root } = subject
    await importLayers(subject, 'layer', [layerTar(file('a', '1'))])
    await snapshots.prepare('key', 'layer0')
    assert.equal(erofsMounts(root), 1)
    const moved = join(root, '../moved')
    renameSync(root, moved)
    await using there = await openSnapshotter(moved)
    assert.equal(erofsMounts(moved), 1)
    await there.release('key')
    assert.equal(erofsMounts(moved), 0)
  }),
)

test('the kernel shows of an erofs state the files that a layer below a container layer has under another name', { skip }, () =>
  withStore('root', async subject => {
    const { snapshots, scratch } = subject
    await importLayers(subject, 'base', [layerTar(file('deep/original', 'from the base'))])
    await mounted(scratch, await snapshots.prepare('key', 'base0'), path => writeFileSync(join(path, 'written'), 'by a container'))
    await snapshots.commit('container', 'key')
    await using stack = snapshots.importStack()
    const path = join(scratch, 'links.tar')
    writeFileSync(path, layerTar(hardlink('one', 'deep/original'), hardlink('two', 'written')))
    await stack.add('links', 'container', { bytes: { path }, indexPath: `${path}.index` })
    await stack.commit()
    await mounted(scratch, await snapshots.view('view', 'links'), shown => {
      assert.equal(readFileSync(join(shown, 'one'), 'utf8'), 'from the base')
      assert.equal(readFileSync(join(shown, 'two'), 'utf8'), 'by a container')
      assert.equal(statSync(join(shown, 'one')).ino, statSync(join(shown, 'deep/original')).ino)
    })
  }),
)

// mincore(2) asks the file below an overlay; fincore of Debian 13 asks cachestat(2), for which the overlay's own file has no pages.
const MINCORE = `
import ctypes, mmap, os, sys
size = os.path.getsize(sys.argv[1])
with open(sys.argv[1], 'rb') as file:
    pages = mmap.mmap(file.fileno(), size, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
    seen = ctypes.create_string_buffer(-(-size // mmap.PAGESIZE))
    start = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    assert ctypes.CDLL(None).mincore(ctypes.c_void_p(start), ctypes.c_size_t(size), seen) == 0
    print(sum(page & 1 for page in seen.raw) * mmap.PAGESIZE)
`
const hasPython = spawnSync('python3', ['--version']).status === 0
const resident = (path: string): number => {
  const { status, stdout, stderr } = spawnSync('python3', ['-c', MINCORE, path], { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  return Number(stdout)
}

test(
  'the pages of a common base are in memory once, whichever container of whichever image reads it',
  { skip: skip || (hasPython ? false : 'needs python3') },
  () =>
    withStore('root', async subject => {
      const { snapshots, scratch } = subject
      const size = 8 * 2 ** 20
      await importLayers(subject, 'base', [layerTar(file('large', Buffer.alloc(size, 'page')), file('other', Buffer.alloc(size, 'other')))])
      for (const name of ['left', 'right']) {
        await using stack = snapshots.importStack()
        const path = join(scratch, `${name}.tar`)
        writeFileSync(path, layerTar(file(name, name)))
        await stack.add(name, 'base0', { bytes: { path }, indexPath: `${path}.index` })
        await stack.commit()
      }
      await mounted(scratch, await snapshots.prepare('in left', 'left'), async left =>
        mounted(scratch, await snapshots.prepare('in right', 'right'), right => {
          assert.equal(resident(join(right, 'large')), 0)
          readFileSync(join(left, 'large'))
          assert.equal(resident(join(right, 'large')), size)
          assert.equal(resident(join(right, 'other')), 0)
        }),
      )
    }),
)

/** A ustar member. */
function member(type: string, name: string, content: string): Buffer {
  const header = Buffer.alloc(512)
  header.write(name, 0)
  header.write('0000644\x000000000\x000000000\x00', 100)
  header.write(`${content.length.toString(8).padStart(11, '0')} 00000000000 `, 124)
  header.write(`        ${type}`, 148)
  header.write('ustar\x0000', 257)
  header.write(
    `${[...header]
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0')}\x00 `,
    148,
  )
  return Buffer.concat([header, Buffer.from(content), Buffer.alloc((512 - (content.length % 512)) % 512)])
}

function record(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`
  let length = rest.length + 1
  while (`${length}${rest}`.length !== length) length += 1
  return `${length}${rest}`
}

test('erofs shows sparse files whose pieces are no whole blocks, and contents with which a tar ends', { skip }, () =>
  withStore('root', async subject => {
    const { snapshots, scratch, root } = subject
    const far = 3 * 2 ** 30
    const records =
      record('GNU.sparse.size', String(far + 5)) + record('GNU.sparse.numblocks', '3') + record('GNU.sparse.map', `1,3,1000,2,${far},5`)
    const sparse = Buffer.concat([member('x', 'pax', records), member('0', 'sparse', 'abcdefghij')])
    await importLayers(subject, 'sparse', [Buffer.concat([sparse, layerTar(file('a', '1'))])])
    await mounted(scratch, await snapshots.view('view', 'sparse0'), async path => {
      await using opened = await open(join(path, 'sparse'), 'r')
      const read = async (position: number, length: number): Promise<string> =>
        (await opened.read(Buffer.alloc(length), { position, length })).buffer.toString('latin1')
      assert.equal((await opened.stat()).size, far + 5)
      assert.deepEqual([await read(0, 6), await read(999, 4), await read(far, 5)], ['\x00abc\x00\x00', '\x00de\x00', 'fghij'])
    })
    const unpadded = member('0', 'last', 'content').subarray(0, 512 + 7)
    const tarPath = join(scratch, 'kept.tar')
    await using stack = snapshots.importStack()
    const path = join(scratch, 'unpadded.tar')
    writeFileSync(path, unpadded)
    await stack.add('unpadded', undefined, { bytes: { path }, indexPath: `${path}.index`, tarPath })
    await stack.commit()
    assert.deepEqual(readFileSync(tarPath), unpadded)
    assert.equal(statSync(join(root, 'snapshots/erofs/3/layer/data.0')).size, 1024)
    await mounted(scratch, await snapshots.view('other', 'unpadded'), shown =>
      assert.equal(readFileSync(join(shown, 'last'), 'utf8'), 'content'),
    )
  }),
)
