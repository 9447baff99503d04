import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { mount, unmount } from '../host/index.ts'
import { openMetadata, openRootDirectory } from './index.ts'

const scratch = mkdtempSync(join(tmpdir(), 'strata-root-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

const modeOf = (path: string): number => statSync(path).mode & 0o7777

test('openRootDirectory() makes a root that other users cannot pass, whatever the umask', () => {
  const umask = process.umask(0)
  try {
    const root = join(scratch, 'new', 'root')
    assert.equal(openRootDirectory(root), join(root, 'meta.db'))
    assert.equal(modeOf(root), 0o710)
    assert.equal(modeOf(join(scratch, 'new')) & 0o022, 0)
  } finally {
    process.umask(umask)
  }
})

test('hostile #66: openRootDirectory() closes a root that was opened up', () => {
  const root = join(scratch, 'opened')
  openMetadata(openRootDirectory(root)).close()
  chmodSync(root, 0o755)
  openRootDirectory(root)
  assert.equal(modeOf(root), 0o710)
})

test('openRootDirectory() takes an empty directory', () => {
  const root = join(scratch, 'empty')
  mkdirSync(root, { mode: 0o755 })
  openRootDirectory(root)
  assert.equal(modeOf(root), 0o710)
})

test('openRootDirectory() leaves a directory with other things as it is', () => {
  const home = join(scratch, 'home')
  mkdirSync(home)
  chmodSync(home, 0o755)
  writeFileSync(join(home, 'letter'), '')
  assert.throws(() => openRootDirectory(home), { kind: 'invalidArgument', code: 'STRATA_NOT_A_ROOT', hint: /--root/ })
  assert.equal(modeOf(home), 0o755)
})

test('openRootDirectory() refuses a file', () => {
  const path = join(scratch, 'file')
  writeFileSync(path, '')
  assert.throws(() => openRootDirectory(path), { kind: 'invalidArgument', code: 'STRATA_ENOTDIR' })
})

test('openRootDirectory() says that a disk is read-only', { skip: process.getuid?.() !== 0 && 'mounting needs root' }, () => {
  const disk = mkdtempSync(join(tmpdir(), 'strata-read-only-'))
  mount({ type: 'tmpfs', source: 'tmpfs', options: ['ro'] }, disk)
  try {
    for (const root of ['root', 'deep/root']) {
      assert.throws(() => openRootDirectory(join(disk, root)), { code: 'STRATA_EROFS', message: /the file system is read-only/ })
    }
  } finally {
    unmount(disk)
    rmSync(disk, { recursive: true })
  }
})
