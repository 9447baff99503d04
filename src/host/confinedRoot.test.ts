import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { decodeFileName } from '../base/index.ts'
import { close, ConfinedRoot, openDirectoryAt, makeDirectoryAt, readInto, writeAll, statFd } from './index.ts'

const isRoot = process.getuid?.() === 0
let scratch = ''
let outside = ''
let root: ConfinedRoot

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'strata-host-root-'))
  outside = join(scratch, 'outside')
  mkdirSync(join(scratch, 'root'))
  mkdirSync(outside)
  writeFileSync(join(outside, 'victim'), 'untouched', { mode: 0o600 })
  root = new ConfinedRoot(join(scratch, 'root'))
})

afterEach(() => {
  root.close()
  rmSync(scratch, { recursive: true })
})

function put(path: string, text: string): void {
  const fd = root.createFile(path, 0o644)
  writeAll(fd, Buffer.from(text))
  close(fd)
}

function text(path: string): string {
  const fd = root.openFile(path)
  const buffer = Buffer.alloc(100)
  const count = readInto(fd, buffer)
  close(fd)
  return buffer.toString('utf8', 0, count)
}

/** Everything about the outside that an escape could change. */
function outsideState(): unknown {
  const { mode, uid, gid, mtimeNs, nlink } = statSync(join(outside, 'victim'), { bigint: true })
  return [readdirSync(outside), readFileSync(join(outside, 'victim'), 'utf8'), mode, uid, gid, mtimeNs, nlink, readdirSync(scratch)]
}

const inside = (path: string): string => readFileSync(join(scratch, 'root', path), 'utf8')

describe('ConfinedRoot', () => {
  test('works on files, directories and links below it', () => {
    root.makeDirectories('usr/share/doc', 0o755)
    put('usr/share/doc/readme', 'text')
    root.symlink('share/doc', 'usr/doc')
    assert.equal(text('/usr/doc/readme'), 'text')
    assert.equal(root.readlink('usr/doc'), 'share/doc')
    assert.equal(root.lstat('usr/doc').type, 'symlink')
    assert.equal(root.stat('usr/doc/').type, 'directory')
    root.link('usr/doc/readme', 'copy')
    assert.equal(root.stat('copy').links, 2)
    root.rename('copy', 'usr//./renamed')
    assert.deepEqual(
      root
        .list('usr')
        .map(({ name }) => name)
        .sort(),
      ['doc', 'renamed', 'share'],
    )
    root.chmod('usr/renamed', 0o4711)
    root.setTimes('usr/renamed', { modifiedAt: { seconds: -7, nanoseconds: 7 } })
    root.setXattr('usr/renamed', 'user.k', Buffer.from([0, 255]))
    const { mode, modifiedAt } = root.lstat('usr/share/doc/readme')
    assert.deepEqual([mode, modifiedAt], [0o4711, { seconds: -7, nanoseconds: 7 }])
    assert.deepEqual([...root.readXattrs('usr/doc/readme')], [['user.k', Buffer.from([0, 255])]])
    root.removeXattr('usr/renamed', 'user.k')
    assert.equal(root.getXattr('usr/renamed', 'user.k'), undefined)
    root.makeNode('fifo', 'fifo', { mode: 0o600 })
    root.unlink('fifo')
    root.removeTree('usr')
    assert.deepEqual(root.list(''), [])
  })

  test('the root itself has attributes, and is not removed', () => {
    root.chmod('', 0o711)
    root.setTimes('/', { modifiedAt: { seconds: 5, nanoseconds: 6 } })
    assert.deepEqual([root.lstat('.').mode, root.stat('..').modifiedAt], [0o711, { seconds: 5, nanoseconds: 6 }])
    assert.throws(() => root.removeTree('/'), { code: 'EINVAL' })
    assert.throws(() => root.removeTree('a/../..'), { code: 'ENOENT' })
    assert.throws(() => root.makeDirectory('', 0o755), { code: 'EEXIST' })
  })

  test('hostile #1: absolute names and .. stay inside', () => {
    const before = outsideState()
    root.makeDirectory('etc', 0o755)
    for (const path of ['../../../etc/x', '/etc/y', '/../etc/../etc/z', `${'../'.repeat(100)}etc/w`]) put(path, path)
    assert.deepEqual(
      root
        .list('etc')
        .map(({ name }) => name)
        .sort(),
      ['w', 'x', 'y', 'z'],
    )
    assert.throws(() => root.stat(`${scratch}/outside/victim`), { code: 'ENOENT' })
    assert.throws(() => root.openFile('../outside/victim'), { code: 'ENOENT' })
    assert.deepEqual(outsideState(), before)
  })

  test('hostile #2: an absolute link leads to the root’s own directory', () => {
    const before = outsideState()
    root.makeDirectory('etc', 0o755)
    root.symlink('/', 'a')
    root.symlink('../../../../../..', 'up')
    put('a/etc/x', 'through the link')
    put('up/etc/y', 'through the other')
    assert.equal(inside('etc/x'), 'through the link')
    assert.equal(inside('etc/y'), 'through the other')
    root.symlink(outside, 'out')
    assert.throws(() => root.createFile('out/new', 0o644), { code: 'ENOENT' })
    assert.throws(() => root.openFile('out/victim'), { code: 'ENOENT' })
    assert.deepEqual(outsideState(), before)
  })

  test('hostile #4, #44: attributes are set on a link, never through it', () => {
    const before = outsideState()
    for (const [name, target] of [
      ['absolute', join(outside, 'victim')],
      ['relative', '../outside/victim'],
    ] as const) {
      root.symlink(target, name)
      assert.throws(() => root.chmod(name, 0o777), { code: 'ENOTSUP' })
      root.setTimes(name, { modifiedAt: { seconds: 1, nanoseconds: 2 }, accessedAt: { seconds: 1, nanoseconds: 2 } })
      assert.deepEqual(root.lstat(name).modifiedAt, { seconds: 1, nanoseconds: 2 })
      assert.throws(() => root.setXattr(name, 'user.x', Buffer.from('x')), { code: 'EPERM' })
      if (isRoot) {
        root.chown(name, 12, 34)
        assert.deepEqual([root.lstat(name).uid, root.lstat(name).gid], [12, 34])
      }
      root.link(name, `${name}-linked`)
      assert.equal(root.lstat(`${name}-linked`).type, 'symlink')
      assert.throws(() => root.createFile(name, 0o644), { code: 'EEXIST' })
      root.removeTree(name)
    }
    assert.deepEqual(outsideState(), before)
  })

  test('hostile #5, #9: a hard link’s source is found inside, whatever its path says', () => {
    const before = outsideState()
    assert.throws(() => root.link('/../outside/victim', 'stolen'), { code: 'ENOENT' })
    root.makeDirectories('c', 0o755)
    root.makeDirectories('a/b', 0o755)
    root.symlink('..', 'c/up')
    root.symlink('/c/up/../../outside', 'a/b/escape')
    assert.throws(() => root.link('a/b/escape/victim', 'stolen'), { code: 'ENOENT' })
    assert.deepEqual(outsideState(), before)
  })

  test('hostile #6, #47: absolute sources and links that mean the image are followed inside it', () => {
    root.makeDirectories('run', 0o755)
    root.makeDirectory('var', 0o755)
    root.symlink('/run', 'var/run')
    put('var/run/pid', '1')
    root.link('/var/run/pid', 'linked')
    assert.equal(inside('run/pid'), '1')
    assert.equal(text('linked'), '1')
  })

  test('links of /proc are refused', { skip: !existsSync('/proc/self/root') && 'needs /proc' }, () => {
    using host = new ConfinedRoot('/')
    assert.throws(() => host.stat(`/proc/self/root/${scratch}`), { code: 'ELOOP' })
    assert.throws(() => host.openFile(`/proc/self/fd/0`), { code: 'ELOOP' })
  })

  test('hostile #22: a FIFO, a device or a socket is never opened', () => {
    root.makeNode('fifo', 'fifo', { mode: 0o644 })
    root.symlink('fifo', 'link')
    for (const path of ['fifo', 'link']) assert.throws(() => root.openFile(path), { code: 'EINVAL' })
    assert.throws(() => root.openFile(''), { code: 'EISDIR' })
    assert.throws(() => root.list('fifo'), { code: 'ENOTDIR' })
  })

  test('hostile #46: makeDirectories() follows links inside and makes nothing outside', () => {
    const before = outsideState()
    root.symlink(join(outside, 'new'), 'dangling')
    assert.throws(() => root.makeDirectories('dangling', 0o755), { code: 'ENOENT' })
    assert.throws(() => root.makeDirectories('dangling/below', 0o755), { code: 'ENOENT' })
    root.makeDirectory('real', 0o755)
    root.symlink('/real', 'alias')
    root.makeDirectories('alias/a/b', 0o700)
    assert.equal(root.lstat('real/a/b').mode, 0o700)
    root.makeDirectories('alias/a/b', 0o755)
    put('file', '')
    assert.throws(() => root.makeDirectories('file/x', 0o755), { code: 'ENOTDIR' })
    assert.throws(() => root.makeDirectories('file', 0o755), { code: 'ENOTDIR' })
    assert.deepEqual(outsideState(), before)
  })

  test('a loop of links and a component of 256 bytes are clean errors', () => {
    root.symlink('b', 'a')
    root.symlink('a', 'b')
    assert.throws(() => root.stat('a'), { code: 'ELOOP' })
    assert.throws(() => root.makeDirectory('x'.repeat(256), 0o755), { code: 'ENAMETOOLONG' })
    assert.throws(() => root.stat(`${'x'.repeat(256)}/y`), { code: 'ENAMETOOLONG' })
  })

  test('hostile #14: a tree of 10,000 directories is reached by its path, and removed', () => {
    const depth = 10_000
    let directory = root.openDirectory('')
    for (let level = 0; level < depth; level += 1) {
      makeDirectoryAt(directory, 'deep', 0o755)
      const next = openDirectoryAt(directory, 'deep')
      close(directory)
      directory = next
    }
    const bottom = statFd(directory).inode
    close(directory)
    const path = Array.from({ length: depth }, () => 'deep').join('/')
    assert.equal(root.lstat(path).inode, bottom)
    put(`${path}/file`, 'at the bottom')
    assert.equal(text(`${path}/file`), 'at the bottom')
    // From the middle of such a path nobody could say where `..` and links end: refused, not guessed.
    assert.throws(() => root.stat(`${path}/../../../x`), { code: 'ENOENT' })
    root.symlink('/', `${path}/link`)
    assert.throws(() => root.stat(`${path}/link/deep`), { code: 'ENAMETOOLONG' })
    const before = readdirSync('/proc/self/fd').length
    root.removeTree('deep')
    assert.equal(readdirSync('/proc/self/fd').length, before)
    assert.deepEqual(root.list(''), [])
  })

  test('removeTree() removes names of any bytes, links without their targets, wide and deep', () => {
    const before = outsideState()
    root.makeDirectories('tree/a/b', 0o755)
    root.symlink(outside, 'tree/a/out')
    root.symlink('..', 'tree/a/b/up')
    root.makeNode('tree/fifo', 'fifo', { mode: 0o600 })
    for (let i = 0; i < 80; i += 1) {
      root.makeDirectories(`tree/wide/${i}/${'x/'.repeat(i % 8 === 0 ? 70 : i % 5)}end`, 0o755)
      put(`tree/wide/${i}/${decodeFileName(Buffer.from([0xff, (i % 200) + 1]))}`.replace(/\/$/, '_'), '')
    }
    root.removeTree('tree')
    root.removeTree('tree')
    assert.deepEqual(root.list(''), [])
    assert.deepEqual(outsideState(), before)
  })

  test('close() ends the object, not the descriptors that it gave away', () => {
    put('f', 'text')
    const fd = root.openFile('f')
    root.close()
    root.close()
    assert.equal(readInto(fd, Buffer.alloc(10)), 4)
    close(fd)
    assert.throws(() => root.stat('f'), { code: 'EBADF' })
    root = new ConfinedRoot(join(scratch, 'root'))
  })

  test('the root may be named through a link, and is held when it is renamed', () => {
    symlinkSync(join(scratch, 'root'), join(scratch, 'named'))
    using other = new ConfinedRoot(join(scratch, 'named'))
    chmodSync(join(scratch, 'root'), 0o750)
    assert.equal(other.stat('').mode, 0o750)
    assert.throws(() => new ConfinedRoot(join(outside, 'victim')), { code: 'ENOTDIR' })
  })
})
