import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { constants, mkdtempSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import * as fc from 'fast-check'
import { decodeFileName, encodeFileName } from '../base/index.ts'
import {
  chmodAt,
  chmodFd,
  chownAt,
  close,
  CURRENT_DIRECTORY,
  linkAt,
  makeDirectoryAt,
  makeNodeAt,
  O_PATH,
  openAt,
  openDirectoryAt,
  readDirectory,
  readInto,
  readlinkAt,
  renameAt,
  setTimesAt,
  setTimesFd,
  statAt,
  statFd,
  symlinkAt,
  syncFileSystem,
  truncate,
  unlinkAt,
  writeAll,
} from './index.ts'
import { write } from './descriptors.ts'

const { O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_WRONLY } = constants
const root = process.getuid?.() === 0
const scratch = mkdtempSync(join(tmpdir(), 'strata-host-entries-'))
const directory = openDirectoryAt(CURRENT_DIRECTORY, scratch)
after(() => {
  close(directory)
  rmSync(scratch, { recursive: true })
})

function makeFile(name: string, text = '', mode = 0o644): void {
  const fd = openAt(directory, name, O_CREAT | O_EXCL | O_WRONLY, mode)
  writeAll(fd, Buffer.from(text))
  close(fd)
}

const names = (): string[] => readDirectory(directory).map(({ name }) => name)

describe('the door to the kernel', () => {
  const index = new URL('./index.ts', import.meta.url).href

  test('importing index.ts does not load koffi, the first call does', () => {
    const script = `
      const { readFileSync } = await import('node:fs')
      const loaded = () => /koffi[^\\n]*\\.node/.test(readFileSync('/proc/self/maps', 'utf8'))
      const host = await import(${JSON.stringify(index)})
      host.kernelFacts()
      const before = loaded()
      host.statAt(host.CURRENT_DIRECTORY, '/')
      console.log(before, loaded())`
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
    assert.equal(stdout.trim(), 'false true', stderr)
  })

  test('the calls work in worker threads, several at once', async () => {
    const script = `
      import(${JSON.stringify(index)}).then(host => {
        const { parentPort, workerData } = require('node:worker_threads')
        const directory = host.openDirectoryAt(host.CURRENT_DIRECTORY, workerData.scratch)
        const top = 'worker-' + workerData.id
        host.makeDirectoryAt(directory, top, 0o755)
        const below = host.openDirectoryAt(directory, top)
        let codes = 0
        for (let i = 0; i < 500; i += 1) {
          const fd = host.openAt(below, 'f' + i, ${O_CREAT | O_EXCL | O_WRONLY}, 0o600)
          host.writeAll(fd, Buffer.from(top))
          host.close(fd)
          host.setTimesAt(below, 'f' + i, { modifiedAt: { seconds: workerData.id, nanoseconds: i } })
          try { host.statAt(below, 'missing') } catch (error) { if (error.code === 'ENOENT') codes += 1 }
        }
        const right = host.readDirectory(below).every(({ name }) => {
          const { modifiedAt, size } = host.statAt(below, name)
          return modifiedAt.seconds === workerData.id && 'f' + modifiedAt.nanoseconds === name && size === top.length
        })
        host.close(below)
        host.removeTreeAt(directory, top)
        host.close(directory)
        parentPort.postMessage({ right, codes })
      })`
    const answers = await Promise.all(
      [1, 2, 3].map(
        id =>
          new Promise((resolve, reject) => {
            const worker = new Worker(script, { eval: true, workerData: { id, scratch } })
            worker.once('message', resolve).once('error', reject)
          }),
      ),
    )
    assert.deepEqual(
      answers,
      [1, 2, 3].map(() => ({ right: true, codes: 500 })),
    )
  })

  test('a failed call throws an error of the shape of Node’s own', () => {
    assert.throws(() => openAt(directory, 'missing', O_RDONLY), {
      name: 'Error',
      code: 'ENOENT',
      errno: -2,
      syscall: 'openat',
      path: 'missing',
      message: "ENOENT: no such file or directory, openat 'missing'",
    })
    assert.throws(() => linkAt(directory, 'missing', directory, 'other'), { code: 'ENOENT', path: 'missing', dest: 'other' })
    assert.throws(() => close(999_999), { code: 'EBADF', syscall: 'close' })
  })

  test('hostile #84: no descriptor is inherited by a child process', () => {
    const fds = [openAt(directory, '.', O_RDONLY), openAt(directory, '.', O_PATH), openDirectoryAt(CURRENT_DIRECTORY, scratch)]
    const { stdout } = spawnSync('/bin/ls', ['-l', '/proc/self/fd'], { encoding: 'utf8' })
    for (const fd of fds) {
      const { flags = '' } = /flags:\s+(?<flags>\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.groups ?? {}
      assert.ok(Number.parseInt(flags, 8) & 0o2000000, `descriptor ${fd} has O_CLOEXEC`)
      close(fd)
    }
    assert.ok(!stdout.includes(scratch), stdout)
  })
})

describe('names', () => {
  test('readDirectory() and the calls keep any bytes of a name', () => {
    const nameBytes = fc
      .uint8Array({ minLength: 1, maxLength: 255 })
      .map(bytes => Buffer.from(bytes.map(byte => (byte === 0 || byte === 0x2f ? 0x80 : byte))))
      .filter(bytes => !bytes.equals(Buffer.from('.')) && !bytes.equals(Buffer.from('..')))
    fc.assert(
      fc.property(fc.uniqueArray(nameBytes, { selector: bytes => bytes.toString('hex'), maxLength: 5 }), all => {
        makeDirectoryAt(directory, 'bytes', 0o755)
        const fd = openDirectoryAt(directory, 'bytes')
        for (const bytes of all) close(openAt(fd, decodeFileName(bytes), O_CREAT | O_EXCL | O_WRONLY, 0o600))
        const found = readDirectory(fd).map(({ name }) => encodeFileName(name).toString('hex'))
        for (const { name } of readDirectory(fd)) {
          symlinkAt(name, fd, 'link')
          assert.equal(readlinkAt(fd, 'link'), name)
          unlinkAt(fd, 'link')
          unlinkAt(fd, name)
        }
        close(fd)
        unlinkAt(directory, 'bytes', { directory: true })
        assert.deepEqual(found.sort(), all.map(bytes => bytes.toString('hex')).sort())
      }),
      { numRuns: 60 },
    )
  })

  test('hostile #10: names that differ only in Unicode normalization or case are different files', () => {
    const all = ['\u00e9', 'e\u0301', '\u00c9', 'ﬁ', 'fi', 'FI']
    for (const name of all) makeFile(name, name)
    for (const name of all) assert.equal(readFileSync(join(scratch, name), 'utf8'), name)
    for (const name of all) unlinkAt(directory, name)
  })

  test('a name with a NUL is EINVAL, never the file that the part before it names', () => {
    makeFile('before')
    const cut = 'before\0after'
    assert.throws(() => openAt(directory, cut, O_RDONLY), { code: 'EINVAL' })
    assert.throws(() => unlinkAt(directory, cut), { code: 'EINVAL' })
    assert.throws(() => symlinkAt(cut, directory, 'link'), { code: 'EINVAL' })
    unlinkAt(directory, 'before')
  })

  test('readDirectory() starts at the beginning each time and knows the types', () => {
    makeDirectoryAt(directory, 'many', 0o755)
    const fd = openDirectoryAt(directory, 'many')
    for (let i = 0; i < 3000; i += 1) close(openAt(fd, `${'long'.repeat(20)}-${i}`, O_CREAT | O_WRONLY, 0o600))
    assert.equal(readDirectory(fd).length, 3000)
    symlinkAt('x', fd, 'link')
    makeNodeAt(fd, 'fifo', 'fifo', { mode: 0o600 })
    makeDirectoryAt(fd, '...', 0o700)
    const types = new Map(readDirectory(fd).map(({ name, type }) => [name, type]))
    assert.deepEqual([types.size, types.get('link'), types.get('fifo'), types.get('...')], [3003, 'symlink', 'fifo', 'directory'])
    close(fd)
    rmSync(join(scratch, 'many'), { recursive: true })
  })
})

describe('attributes', () => {
  test('setTimesAt() and statAt() keep nanoseconds, also before 1970 and far from it', () => {
    makeFile('timed')
    symlinkAt('timed', directory, 'timed-link')
    const times = [
      { seconds: 1_700_000_000, nanoseconds: 123_456_789 },
      { seconds: -1, nanoseconds: 999_999_999 },
      { seconds: -2_000_000_000, nanoseconds: 1 },
      { seconds: 0, nanoseconds: 0 },
      { seconds: 2 ** 32 + 7, nanoseconds: 5 },
    ]
    for (const modifiedAt of times) {
      setTimesAt(directory, 'timed', { modifiedAt })
      assert.deepEqual(statAt(directory, 'timed').modifiedAt, modifiedAt)
      setTimesAt(directory, 'timed-link', { modifiedAt, accessedAt: { seconds: 1, nanoseconds: 2 } })
      assert.deepEqual(statAt(directory, 'timed-link').modifiedAt, modifiedAt)
      assert.deepEqual(statAt(directory, 'timed-link').accessedAt, { seconds: 1, nanoseconds: 2 })
    }
    const fd = openAt(directory, 'timed', O_RDWR)
    const before = statFd(fd).modifiedAt
    setTimesFd(fd, { accessedAt: { seconds: 3, nanoseconds: 4 } })
    assert.deepEqual([statFd(fd).modifiedAt, statFd(fd).accessedAt], [before, { seconds: 3, nanoseconds: 4 }])
    close(fd)
    unlinkAt(directory, 'timed')
    unlinkAt(directory, 'timed-link')
  })

  test('statAt() agrees with Node’s own stat', () => {
    makeFile('sized', 'twelve bytes', 0o640)
    linkAt(directory, 'sized', directory, 'sized-too')
    const ours = statAt(directory, 'sized')
    const theirs = statSync(join(scratch, 'sized'), { bigint: true })
    assert.deepEqual(
      [ours.inode, ours.links, ours.size, ours.mode, ours.uid, ours.gid, ours.blocks],
      [theirs.ino, 2, 12, Number(theirs.mode) & 0o7777, Number(theirs.uid), Number(theirs.gid), Number(theirs.blocks)],
    )
    assert.equal(BigInt(ours.modifiedAt.seconds) * 1_000_000_000n + BigInt(ours.modifiedAt.nanoseconds), theirs.mtimeNs)
    const { rdev } = statAt(CURRENT_DIRECTORY, '/dev/null')
    assert.deepEqual([statAt(CURRENT_DIRECTORY, '/dev/null').type, rdev], ['character', { major: 1, minor: 3 }])
    unlinkAt(directory, 'sized')
    unlinkAt(directory, 'sized-too')
  })

  test('chmodAt() sets all twelve bits and refuses a link', () => {
    makeFile('modes')
    symlinkAt('modes', directory, 'modes-link')
    for (const mode of [0o0000, 0o7777, 0o4755, 0o1644]) {
      chmodAt(directory, 'modes', mode)
      assert.equal(statAt(directory, 'modes').mode, mode)
    }
    assert.throws(() => chmodAt(directory, 'modes-link', 0o777), { code: 'ENOTSUP' })
    assert.equal(statAt(directory, 'modes').mode, 0o1644)
    const fd = openAt(directory, 'modes', O_RDONLY)
    chmodFd(fd, 0o600)
    assert.equal(statFd(fd).mode, 0o600)
    close(fd)
    unlinkAt(directory, 'modes')
    unlinkAt(directory, 'modes-link')
  })

  test('chownAt() changes a link, not what it names', { skip: !root && 'needs root' }, () => {
    makeFile('owned')
    symlinkAt('owned', directory, 'owned-link')
    chownAt(directory, 'owned-link', 4_000_000_000, 7)
    assert.deepEqual([statAt(directory, 'owned-link').uid, statAt(directory, 'owned-link').gid], [4_000_000_000, 7])
    assert.equal(statAt(directory, 'owned').uid, 0)
    unlinkAt(directory, 'owned')
    unlinkAt(directory, 'owned-link')
  })

  test('makeNodeAt() makes devices with large numbers, 0:0 too', { skip: !root && 'needs root' }, () => {
    for (const device of [
      { major: 0, minor: 0 },
      { major: 1, minor: 3 },
      { major: 259, minor: 70_000 },
      { major: 4095, minor: 2 ** 20 - 1 },
    ]) {
      makeNodeAt(directory, 'node', 'block', { mode: 0o600, device })
      assert.deepEqual([statAt(directory, 'node').type, statAt(directory, 'node').rdev], ['block', device])
      unlinkAt(directory, 'node')
    }
    assert.throws(() => makeNodeAt(directory, 'node', 'block', { mode: 0o600, device: { major: 4096, minor: 0 } }), { code: 'EINVAL' })
  })
})

describe('entries', () => {
  test('renameAt() replaces, refuses or exchanges, as it is told', () => {
    makeFile('one', '1')
    makeFile('two', '2')
    assert.throws(() => renameAt(directory, 'one', directory, 'two', 'noReplace'), { code: 'EEXIST' })
    renameAt(directory, 'one', directory, 'two', 'exchange')
    assert.equal(readFileSync(join(scratch, 'one'), 'utf8'), '2')
    renameAt(directory, 'one', directory, 'two')
    assert.equal(readFileSync(join(scratch, 'two'), 'utf8'), '2')
    assert.ok(!names().includes('one'))
    unlinkAt(directory, 'two')
  })

  test('linkAt() gives a link, not its target, another name', () => {
    symlinkAt('/nowhere', directory, 'link')
    linkAt(directory, 'link', directory, 'link-too')
    assert.equal(readlinkSync(join(scratch, 'link-too')), '/nowhere')
    assert.equal(statAt(directory, 'link').links, 2)
    unlinkAt(directory, 'link')
    unlinkAt(directory, 'link-too')
  })

  test('unlinkAt() tells files from directories', () => {
    makeDirectoryAt(directory, 'dir', 0o755)
    assert.throws(() => unlinkAt(directory, 'dir'), { code: 'EISDIR' })
    unlinkAt(directory, 'dir', { directory: true })
    assert.throws(() => unlinkAt(directory, 'dir', { directory: true }), { code: 'ENOENT' })
  })

  test('symlinkAt() and readlinkAt() keep the longest target', () => {
    const target = 'x'.repeat(4095)
    symlinkAt(target, directory, 'longest')
    assert.equal(readlinkAt(directory, 'longest'), target)
    assert.throws(() => symlinkAt(`${target}x`, directory, 'too-long'), { code: 'ENAMETOOLONG' })
    unlinkAt(directory, 'longest')
  })

  test('writes and reads go where they are told, and a pipe that is full takes the rest later', async () => {
    const fd = openAt(directory, 'content', O_CREAT | O_EXCL | O_RDWR, 0o600)
    writeAll(fd, Buffer.from('hello'))
    writeAll(fd, Buffer.from('J'), 0)
    assert.equal(write(fd, Buffer.from('!')), 1)
    truncate(fd, 8)
    const buffer = Buffer.alloc(20)
    assert.deepEqual([readInto(fd, buffer, 0), buffer.toString('utf8', 0, 8)], [8, 'Jello!\0\0'])
    assert.equal(readInto(fd, buffer, 8), 0)
    await syncFileSystem(fd)
    close(fd)
    unlinkAt(directory, 'content')

    // A FIFO holds 64 KiB: a blocking write of 1 MiB comes back in pieces only when it is interrupted, so the reader runs beside it.
    makeNodeAt(directory, 'fifo', 'fifo', { mode: 0o600 })
    const copied = join(scratch, 'copied')
    const reader = new Worker(
      `const fs = require('node:fs'); fs.writeFileSync(${JSON.stringify(copied)}, fs.readFileSync(${JSON.stringify(join(scratch, 'fifo'))}))`,
      { eval: true },
    )
    const ended = new Promise(resolve => reader.once('exit', resolve))
    const pipe = openAt(directory, 'fifo', O_WRONLY)
    const content = Buffer.alloc(1 << 20, 'abcdefg')
    writeAll(pipe, content)
    close(pipe)
    await ended
    assert.ok(readFileSync(copied).equals(content))
    writeFileSync(copied, '')
  })
})
