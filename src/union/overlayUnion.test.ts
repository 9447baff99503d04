import assert from 'node:assert/strict'
import { readdirSync, readlinkSync } from 'node:fs'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { bytesOf, needsRoot, scratchDirectory } from '../../test/layer/layerTars.ts'
import { CURRENT_DIRECTORY, makeNodeAt, setXattrAt } from '../host/index.ts'
import { overlayUnion } from './index.ts'

/** How many files below a directory this process has open. */
function openFiles(directory: string): number {
  const targets = readdirSync('/proc/self/fd').map(fd => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`)
    } catch {
      // The descriptor that listed the others.
      return ''
    }
  })
  return targets.filter(target => target.startsWith(directory)).length
}

test('overlayUnion() keeps few files open, whatever the tree, and none after close()', async t => {
  const scratch = await scratchDirectory(t)
  const directories = ['top', 'base'].map(name => join(scratch, name))
  for (const directory of directories) {
    for (let at = 0; at < 300; at += 1) {
      await mkdir(join(directory, `d${at}/e`), { recursive: true })
      await writeFile(join(directory, `d${at}/e/f`), directory)
    }
  }
  const tree = overlayUnion(directories)
  let most = 0
  for (const name of await tree.list('')) {
    for (const path of [`${name}/e`, `${name}/e/f`]) await tree.lstat(path)
    assert.deepEqual(await tree.list(`${name}/e`), ['f'])
    assert.equal((await bytesOf(tree.open(`${name}/e/f`))).toString(), directories[0])
    most = Math.max(most, openFiles(scratch))
  }
  assert.ok(most < 80, `${most} files were open`)
  await tree.close()
  await tree.close()
  assert.equal(openFiles(scratch), 0)
})

test('overlayUnion() of no directory, or of one that is missing', async t => {
  const scratch = await scratchDirectory(t)
  const nothing = overlayUnion([])
  assert.equal(await nothing.lstat(''), undefined)
  assert.equal(await nothing.lstat('a/b'), undefined)
  await assert.rejects(nothing.list(''), { code: 'STRATA_ENOENT' })
  await assert.rejects(bytesOf(nothing.open('a')), { code: 'STRATA_ENOENT' })
  assert.throws(() => overlayUnion([scratch, join(scratch, 'missing')]), { kind: 'notFound' })
  assert.equal(openFiles(scratch), 0)
})

test('overlayUnion() tells what is no directory and no file', async t => {
  const scratch = await scratchDirectory(t)
  await mkdir(join(scratch, 'd'))
  await writeFile(join(scratch, 'f'), 'x')
  await symlink('/etc', join(scratch, 'out'))
  const tree = overlayUnion([scratch])
  await assert.rejects(tree.list('f'), { code: 'STRATA_ENOTDIR' })
  await assert.rejects(tree.list('out'), { code: 'STRATA_ENOTDIR' })
  await assert.rejects(bytesOf(tree.open('d')), { code: 'STRATA_NOT_A_FILE' })
  await assert.rejects(bytesOf(tree.open('out/passwd')), { code: 'STRATA_ENOENT' })
  assert.equal(await tree.lstat('out/passwd'), undefined)
  assert.equal((await tree.lstat('out'))?.linkTarget, '/etc')
  await tree.close()
})

test('hostile #39: overlayUnion() looks through 300 layers, each hiding a name of the one below', { skip: needsRoot }, async t => {
  const scratch = await scratchDirectory(t)
  const directories: string[] = []
  for (let at = 0; at < 300; at += 1) {
    const directory = join(scratch, String(at))
    await mkdir(join(directory, 'd'), { recursive: true })
    await writeFile(join(directory, `d/f${at}`), '')
    if (at > 0) makeNodeAt(CURRENT_DIRECTORY, join(directory, `d/f${at - 1}`), 'character', { mode: 0, device: { major: 0, minor: 0 } })
    directories.unshift(directory)
  }
  const tree = overlayUnion(directories)
  assert.equal(await tree.lstat('d/f5'), undefined)
  assert.deepEqual(await tree.list('d'), ['f299'])
  await tree.close()
  setXattrAt(CURRENT_DIRECTORY, join(scratch, '150/d'), { key: 'trusted.overlay.opaque', value: Buffer.from('y') })
  const cut = overlayUnion(directories.slice(directories.length - 151))
  assert.deepEqual((await cut.lstat('d'))?.xattrs, new Map())
  assert.deepEqual(await cut.list('d'), ['f150'])
  await cut.close()
})
