import assert from 'node:assert/strict'
import { linkSync, mkdirSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { mkdir, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  close,
  chmodAt,
  chownAt,
  CURRENT_DIRECTORY,
  makeDirectoryAt,
  makeNodeAt,
  openDirectoryAt,
  removeTree,
  setTimesAt,
  setXattrAt,
} from '../../src/host/index.ts'
import { copyTree } from '../../src/snapshot/drivers/copyTree.ts'
import { diskUsage } from '../../src/snapshot/drivers/diskUsage.ts'
import { pictureOfDirectory } from '../../src/testing/snapshotter/picture.ts'

const skip = process.getuid?.() === 0 ? false : 'needs root: owners and devices'

async function withPlace(use: (from: string, to: string) => Promise<void>): Promise<void> {
  const place = await mkdtemp(join(tmpdir(), 'strata-copy-'))
  try {
    const [from, to] = [join(place, 'from'), join(place, 'to')]
    for (const path of [from, to]) await mkdir(path)
    await use(from, to)
  } finally {
    await removeTree(CURRENT_DIRECTORY, place)
  }
}

test('copyTree() copies every type, owner, mode, time, xattr and hard link', { skip }, () =>
  withPlace(async (from, to) => {
    const at = (path: string): string => join(from, path)
    mkdirSync(at('d/e'), { recursive: true })
    writeFileSync(at('d/f'), 'content')
    linkSync(at('d/f'), at('d/e/hard'))
    linkSync(at('d/f'), at('again'))
    symlinkSync('/nowhere', at('l'))
    linkSync(at('l'), at('l2'))
    for (const [name, type] of [
      ['fifo', 'fifo'],
      ['socket', 'socket'],
      ['null', 'character'],
      ['disk', 'block'],
    ] as const) {
      makeNodeAt(CURRENT_DIRECTORY, at(name), type, { mode: 0o640, device: { major: 7, minor: 300 } })
    }
    writeFileSync(Buffer.concat([Buffer.from(at('bytes ')), Buffer.of(0xff)]), '')
    for (const [n, name] of ['d', 'd/e', 'again', 'l', 'fifo', 'null', ''].entries()) {
      chownAt(CURRENT_DIRECTORY, at(name), n, 1000 + n)
      if (name !== 'l') chmodAt(CURRENT_DIRECTORY, at(name), 0o6710 + n)
      setXattrAt(CURRENT_DIRECTORY, at(name), { key: 'trusted.n', value: Buffer.of(n, 0, 255) })
    }
    // setuid and the capability survive because both come after the owner.
    const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex')
    setXattrAt(CURRENT_DIRECTORY, at('again'), { key: 'security.capability', value: capability })
    // acl(5): user::rwx user:1:r-- group::r-x mask::r-x other::---, and the same as a default for what is made in there.
    const acl = Buffer.from(
      '02000000 01000700ffffffff 0200040001000000 04000500ffffffff 10000500ffffffff 20000000ffffffff'.replaceAll(' ', ''),
      'hex',
    )
    for (const key of ['system.posix_acl_access', 'system.posix_acl_default']) setXattrAt(CURRENT_DIRECTORY, at('d/e'), { key, value: acl })
    for (const name of ['again', 'l', 'fifo', 'd/e', 'd', '']) {
      setTimesAt(CURRENT_DIRECTORY, at(name), { modifiedAt: { seconds: -name.length, nanoseconds: 123_456_789 } })
    }
    await copyTree(from, to)
    const copy = await pictureOfDirectory(to)
    assert.deepEqual(copy, await pictureOfDirectory(from))
    assert.match(copy['again']!, / = again = d\/e\/hard = d\/f$/)
    assert.deepEqual(await diskUsage(to), await diskUsage(from))
  }),
)

test('copyTree() leaves holes as holes', { skip }, () =>
  withPlace(async (from, to) => {
    const path = join(from, 'sparse')
    writeFileSync(path, 'start')
    truncateSync(path, 1_000_000_000)
    await copyTree(from, to)
    const { size, blocks } = statSync(join(to, 'sparse'))
    assert.equal(size, 1_000_000_000)
    assert.ok(blocks * 512 < 1_000_000, `${blocks} blocks`)
  }),
)

test('hostile #14: copyTree() copies a tree as deep as a path can be', { skip }, () =>
  withPlace(async (from, to) => {
    let fd = openDirectoryAt(CURRENT_DIRECTORY, from)
    for (let depth = 0; depth < 1000; depth += 1) {
      makeDirectoryAt(fd, 'abc', 0o755)
      const below = openDirectoryAt(fd, 'abc')
      close(fd)
      fd = below
    }
    makeNodeAt(fd, 'end', 'file', { mode: 0o600 })
    close(fd)
    await copyTree(from, to)
    assert.deepEqual(await diskUsage(to), { bytes: 0, inodes: 1002 })
  }),
)

test('copyTree() and diskUsage() let the process do other things', { skip }, () =>
  withPlace(async (from, to) => {
    for (let n = 0; n < 60; n += 1) {
      mkdirSync(join(from, `d${n}`))
      for (let m = 0; m < 60; m += 1) writeFileSync(join(from, `d${n}/f${m}`), 'x')
    }
    for (const work of [() => copyTree(from, to), () => diskUsage(from)]) {
      let turns = 0
      const timer = setInterval(() => {
        turns += 1
      }, 1)
      const began = performance.now()
      await work()
      clearInterval(timer)
      // Where this is done in the time that nobody notices, nothing else has to wait for it.
      assert.ok(turns > 0 || performance.now() - began < 20, String(work))
    }
    assert.deepEqual(await diskUsage(to), await diskUsage(from))
  }),
)
