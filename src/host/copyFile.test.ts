import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { constants, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { findProgram } from '../base/index.ts'
import {
  close,
  copyFile,
  CURRENT_DIRECTORY,
  isMountPoint,
  openAt,
  statFd,
  truncate,
  tryLockFile,
  lockFile,
  unmount,
  writeAll,
} from './index.ts'

const scratch = mkdtempSync(join(tmpdir(), 'strata-host-copy-'))
after(() => rmSync(scratch, { recursive: true }))

function copy(from: string, to: string): 'cloned' | 'copied' {
  const source = openAt(CURRENT_DIRECTORY, from, constants.O_RDONLY)
  const target = openAt(CURRENT_DIRECTORY, to, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600)
  try {
    return copyFile(source, target)
  } finally {
    close(source)
    close(target)
  }
}

function makeSparse(path: string): Buffer {
  const fd = openAt(CURRENT_DIRECTORY, path, constants.O_CREAT | constants.O_EXCL | constants.O_RDWR, 0o600)
  truncate(fd, 8 << 20)
  writeAll(fd, Buffer.alloc(100_000, 'middle'), 3 << 20)
  writeAll(fd, Buffer.alloc(5000, 'more'), (5 << 20) + 123)
  close(fd)
  return readFileSync(path)
}

describe('copyFile()', () => {
  test('copies content and keeps holes, also the one at the end', () => {
    const from = join(scratch, 'sparse')
    const content = makeSparse(from)
    copy(from, join(scratch, 'sparse-copy'))
    assert.ok(readFileSync(join(scratch, 'sparse-copy')).equals(content))
    assert.ok(statSync(join(scratch, 'sparse-copy')).blocks * 512 < 1 << 20, 'the holes take no blocks')
  })

  test('copies files that are empty, all hole, or larger than one step', () => {
    writeFileSync(join(scratch, 'empty'), '')
    writeFileSync(join(scratch, 'hole'), '')
    truncateSync(join(scratch, 'hole'), 1 << 30)
    writeFileSync(join(scratch, 'large'), Buffer.alloc(70 << 20, 'strata'))
    for (const name of ['empty', 'hole', 'large']) {
      copy(join(scratch, name), join(scratch, `${name}-copy`))
      assert.equal(statSync(join(scratch, `${name}-copy`)).size, statSync(join(scratch, name)).size)
    }
    assert.ok(readFileSync(join(scratch, 'large')).equals(readFileSync(join(scratch, 'large-copy'))))
    assert.equal(statSync(join(scratch, 'hole-copy')).blocks, 0)
    rmSync(join(scratch, 'large'))
    rmSync(join(scratch, 'large-copy'))
  })

  test('copies across file systems, and files of /proc that say they are empty', () => {
    const other = mkdtempSync('/dev/shm/strata-host-copy-')
    try {
      const content = makeSparse(join(other, 'sparse'))
      assert.equal(copy(join(other, 'sparse'), join(scratch, 'from-tmpfs')), 'copied')
      assert.ok(readFileSync(join(scratch, 'from-tmpfs')).equals(content))
      assert.ok(statSync(join(scratch, 'from-tmpfs')).blocks * 512 < 1 << 20)
      copy('/proc/version', join(other, 'version'))
      assert.equal(readFileSync(join(other, 'version'), 'utf8'), readFileSync('/proc/version', 'utf8'))
    } finally {
      rmSync(other, { recursive: true })
    }
  })

  test('reports a target that cannot be written', () => {
    const fd = openAt(CURRENT_DIRECTORY, join(scratch, 'empty'), constants.O_RDONLY)
    assert.throws(() => copyFile(fd, fd), { code: 'EBADF' })
    close(fd)
  })

  for (const [type, make] of [
    ['xfs', ['mkfs.xfs', '-q', '-m', 'reflink=1']],
    ['btrfs', ['mkfs.btrfs', '-q']],
  ] as const) {
    const [program, ...options] = make
    test(`shares the blocks where the disk can: ${type}`, { skip: process.getuid?.() !== 0 && 'needs root' }, async t => {
      if ((await findProgram(program)) === undefined) {
        t.skip(`${program} is not installed`)
        return
      }
      const image = join(scratch, `${type}.img`)
      const target = join(scratch, type)
      mkdirSync(target)
      writeFileSync(image, '')
      truncateSync(image, 320 << 20)
      assert.equal(spawnSync(program, [...options, image]).status, 0)
      if (spawnSync('/bin/mount', ['-o', 'loop', '-t', type, image, target]).status !== 0) {
        t.skip(`this kernel does not mount ${type} from a loop device`)
        return
      }
      try {
        assert.ok(isMountPoint(target))
        const content = makeSparse(join(target, 'sparse'))
        assert.equal(copy(join(target, 'sparse'), join(target, 'clone')), 'cloned')
        assert.ok(readFileSync(join(target, 'clone')).equals(content))
        assert.equal(copy(join(target, 'sparse'), join(scratch, `from-${type}`)), 'copied')
        assert.ok(readFileSync(join(scratch, `from-${type}`)).equals(content))
      } finally {
        unmount(target)
      }
    })
  }
})

describe('file locks', () => {
  const path = join(scratch, 'lock')
  const open = (): number => openAt(CURRENT_DIRECTORY, path, constants.O_CREAT | constants.O_RDWR, 0o600)

  test('tryLockFile() lets readers share and one writer alone', () => {
    const [a, b, c] = [open(), open(), open()]
    assert.ok(tryLockFile(a, 'shared') && tryLockFile(b, 'shared'))
    assert.equal(tryLockFile(c, 'exclusive'), false)
    close(a)
    close(b)
    assert.equal(tryLockFile(c, 'exclusive'), true)
    assert.equal(statFd(c).size, 0)
    close(c)
  })

  test('lockFile() waits until the lock is free, or until it is told to stop', async () => {
    const [holder, waiter] = [open(), open()]
    assert.ok(tryLockFile(holder, 'exclusive'))
    await assert.rejects(lockFile(waiter, 'exclusive', { signal: AbortSignal.timeout(30) }), { name: 'TimeoutError' })
    const waiting = lockFile(waiter, 'exclusive')
    close(holder)
    await waiting
    const third = open()
    assert.equal(tryLockFile(third, 'shared'), false)
    close(third)
    close(waiter)
  })

  test('a lock that a killed process held is free', async () => {
    const script = `
      import { openAt, tryLockFile, CURRENT_DIRECTORY } from ${JSON.stringify(new URL('./index.ts', import.meta.url).href)}
      tryLockFile(openAt(CURRENT_DIRECTORY, ${JSON.stringify(path)}, 2), 'exclusive')
      process.kill(process.pid, 'SIGKILL')`
    assert.equal(spawnSync(process.execPath, ['--input-type=module', '-e', script]).signal, 'SIGKILL')
    const fd = open()
    await lockFile(fd, 'exclusive')
    close(fd)
  })
})
