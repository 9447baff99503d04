import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryTree, Union } from '../union/index.ts'
import { type CopyRequest, copyFiles } from './copyFiles.ts'
import { parseMode } from './fileMode.ts'
import { findSources } from './sourcePaths.ts'

const TIME = { seconds: 1000, nanoseconds: 5 }
const NOW = { seconds: 2000, nanoseconds: 0 }

/** Paths of a tree: `d/` a directory, `l -> t` a link, `h = f` a hard link, else a file with its name as content. */
async function treeOf(...paths: readonly string[]): Promise<MemoryTree> {
  const tree = new MemoryTree({ now: () => TIME })
  for (const path of paths) {
    const [link, target] = path.split(' -> ')
    const [name, first] = path.split(' = ')
    const common = { modifiedAt: TIME, uid: 7, gid: 8 }
    if (target !== undefined) await tree.create(link!, { ...common, type: 'symlink', mode: 0o777, linkTarget: target })
    else if (first !== undefined) await tree.link(first, name!)
    else if (path.endsWith('/')) await tree.create(path.slice(0, -1), { ...common, type: 'directory', mode: 0o750 })
    else {
      await tree.create(path, { ...common, type: 'file', mode: 0o640 })
      await tree.write(path, 0, Buffer.from(path))
      await tree.setAttributes(path, { modifiedAt: TIME })
    }
  }
  return tree
}

/** What a copy changes: each path, with its type, owner and mode, content or target. */
async function copied(
  given: { readonly from: readonly string[]; readonly onto?: readonly string[] },
  sources: readonly string[],
  request: Partial<CopyRequest> & Pick<CopyRequest, 'destination'>,
): Promise<readonly string[]> {
  const tree = await treeOf(...given.from)
  const upper = new MemoryTree({ now: () => NOW })
  const target = new Union([
    { tree: upper, access: 'rw' },
    { tree: await treeOf(...(given.onto ?? [])), access: 'ro' },
  ])
  const found = (await Promise.all(sources.map(source => findSources(tree, source)))).flat()
  const defaults = { owner: { uid: 0, gid: 0 }, mode: undefined, parents: false, isExcluded: () => false, now: NOW }
  await copyFiles(tree, found, { ...defaults, ...request, target })
  const lines: string[] = []
  for await (const change of target.changes()) {
    if (change.kind === 'delete' || change.path === '') continue
    const { path, node } = change
    const what = node.type === 'file' ? Buffer.concat(await Array.fromAsync(target.open(path))).toString() : (node.linkTarget ?? '')
    lines.push(`${path} ${node.type} ${node.mode.toString(8)} ${node.uid}:${node.gid} ${node.modifiedAt.seconds} ${what}`.trim())
  }
  return lines.toSorted()
}

const FROM = ['a', 'd/', 'd/x', 'd/e/', 'd/e/y', 'way -> d', 'out -> ../../a']

test('copyFiles() copies a file to a name, or into a directory', async () => {
  const file = 'file 640 0:0 1000 a'
  assert.deepEqual(await copied({ from: FROM }, ['a'], { destination: '/new' }), [`new ${file}`])
  assert.deepEqual(await copied({ from: FROM }, ['a'], { destination: '/p/q/' }), [
    'p directory 755 0:0 2000',
    `p/q directory 755 0:0 2000`,
    `p/q/a ${file}`,
  ])
  assert.deepEqual(await copied({ from: FROM, onto: ['p/'] }, ['a'], { destination: '/p' }), ['p directory 750 7:8 2000', `p/a ${file}`])
  assert.deepEqual(
    await copied({ from: FROM, onto: ['a'] }, ['a'], { destination: '/a', owner: { uid: 1, gid: 2 }, mode: parseMode('u+x') }),
    ['a file 740 1:2 1000 a'],
  )
})

test('copyFiles() copies what is in a directory, links as they are, owners where nobody else is named', async () => {
  assert.deepEqual(await copied({ from: FROM }, ['d'], { destination: '/n', owner: undefined }), [
    'n directory 750 7:8 2000',
    'n/e directory 750 7:8 1000',
    'n/e/y file 640 7:8 1000 d/e/y',
    'n/x file 640 7:8 1000 d/x',
  ])
  const all = await copied({ from: FROM }, ['.'], { destination: '/' })
  assert.deepEqual(
    all.map(line => line.split(' ')[0]),
    ['a', 'd', 'd/e', 'd/e/y', 'd/x', 'out', 'way'],
  )
  assert.ok(all.includes('way symlink 777 0:0 1000 d'))
})

test('copyFiles() follows a link that is a source, never out of its tree, and links on the way to the destination', async () => {
  const names = (lines: readonly string[]): readonly string[] => lines.map(line => line.split(' ')[0]!)
  assert.deepEqual(names(await copied({ from: FROM }, ['way'], { destination: '/n/' })), ['n', 'n/e', 'n/e/y', 'n/x'])
  assert.deepEqual(await copied({ from: FROM }, ['out'], { destination: '/n' }), ['n file 640 0:0 1000 a'])
  const usrMerged = { from: FROM, onto: ['usr/', 'usr/lib/', 'lib -> usr/lib', 'root -> /../..'] }
  assert.deepEqual(names(await copied(usrMerged, ['a'], { destination: '/lib/' })), ['usr', 'usr/lib', 'usr/lib/a'])
  assert.deepEqual(names(await copied(usrMerged, ['a'], { destination: '/root/lib/z' })), ['usr', 'usr/lib', 'usr/lib/z'])
})

test('copyFiles() takes patterns, several sources, folders above them, and leaves out what is excluded', async () => {
  const names = (lines: readonly string[]): readonly string[] => lines.map(line => line.split(' ')[0]!)
  const from = ['a.c', 'b.c', 'b.h', 's/', 's/a.c', 's/t/', 's/t/b.c']
  assert.deepEqual(names(await copied({ from }, ['*.c'], { destination: '/n' })), ['n', 'n/a.c', 'n/b.c'])
  assert.deepEqual(names(await copied({ from }, ['s/*/b.c', 'b.?'], { destination: '/n/', parents: true })), [
    'n',
    'n/b.c',
    'n/b.h',
    'n/s',
    'n/s/t',
    'n/s/t/b.c',
  ])
  const isExcluded = (path: string): boolean => path === 't'
  assert.deepEqual(names(await copied({ from }, ['s'], { destination: '/n/', isExcluded })), ['n', 'n/a.c'])
  assert.deepEqual(names(await copied({ from }, ['*.c'], { destination: '/n/', isExcluded: path => path === 'b.c' })), ['n', 'n/a.c'])
  await assert.rejects(copied({ from }, ['*.go'], { destination: '/' }), { code: 'STRATA_NO_SUCH_SOURCE' })
})

test('copyFiles() keeps hard links, and refuses to change a file for a directory or the other way round', async () => {
  const lines = await copied({ from: ['d/', 'd/a', 'd/b = d/a'] }, ['d'], { destination: '/n' })
  assert.ok(lines.includes('n/b file 640 0:0 1000 d/a'))
  const onto = ['n/', 'n/a/', 'f']
  await assert.rejects(copied({ from: ['d/', 'd/a'], onto }, ['d'], { destination: '/n' }), { code: 'STRATA_COPY_CONFLICT' })
  await assert.rejects(copied({ from: ['d/', 'd/f/'], onto }, ['d'], { destination: '/' }), { code: 'STRATA_COPY_CONFLICT' })
  await assert.rejects(copied({ from: ['a'], onto }, ['a'], { destination: '/f/x' }), { code: 'STRATA_COPY_CONFLICT' })
})
