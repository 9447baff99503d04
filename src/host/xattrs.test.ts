import assert from 'node:assert/strict'
import { constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { decodeFileName } from '../base/index.ts'
import {
  close,
  CURRENT_DIRECTORY,
  getXattrAt,
  getXattrFd,
  openAt,
  openDirectoryAt,
  readXattrsAt,
  readXattrsFd,
  removeXattrAt,
  setXattrAt,
  setXattrFd,
  symlinkAt,
} from './index.ts'

const root = process.getuid?.() === 0
const scratch = mkdtempSync(join(tmpdir(), 'strata-host-xattrs-'))
const directory = openDirectoryAt(CURRENT_DIRECTORY, scratch)
after(() => {
  close(directory)
  rmSync(scratch, { recursive: true })
})

const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))

describe('extended attributes', () => {
  test('binary, empty and large values come back as they were set, by name and by descriptor', () => {
    writeFileSync(join(scratch, 'file'), '')
    const fd = openAt(directory, 'file', constants.O_RDONLY)
    setXattrAt(directory, 'file', { key: 'user.bytes', value: everyByte })
    setXattrFd(fd, 'user.empty', Buffer.alloc(0))
    setXattrFd(fd, 'user.large', Buffer.alloc(2000, everyByte))
    assert.deepEqual(getXattrFd(fd, 'user.bytes'), everyByte)
    assert.deepEqual(getXattrAt(directory, 'file', 'user.empty'), Buffer.alloc(0))
    assert.deepEqual(getXattrAt(directory, 'file', 'user.large'), Buffer.alloc(2000, everyByte))
    const all = readXattrsAt(directory, 'file')
    assert.deepEqual([...all.keys()].sort(), ['user.bytes', 'user.empty', 'user.large'])
    assert.deepEqual(readXattrsFd(fd), all)
    setXattrAt(directory, 'file', { key: 'user.bytes', value: Buffer.from('new') })
    assert.equal(String(getXattrFd(fd, 'user.bytes')), 'new')
    close(fd)
  })

  test('a value that was read is not changed by the next read', () => {
    writeFileSync(join(scratch, 'two'), '')
    setXattrAt(directory, 'two', { key: 'user.a', value: Buffer.from('first') })
    setXattrAt(directory, 'two', { key: 'user.b', value: Buffer.from('other') })
    const first = getXattrAt(directory, 'two', 'user.a')
    getXattrAt(directory, 'two', 'user.b')
    assert.equal(String(first), 'first')
  })

  test('an attribute that is missing is undefined to a read and ENODATA to a removal', () => {
    writeFileSync(join(scratch, 'bare'), '')
    assert.equal(getXattrAt(directory, 'bare', 'user.none'), undefined)
    assert.throws(() => removeXattrAt(directory, 'bare', 'user.none'), { code: 'ENODATA' })
    assert.equal(readXattrsAt(directory, 'bare').size, 0)
    assert.throws(() => getXattrAt(directory, 'missing', 'user.none'), { code: 'ENOENT', path: 'missing' })
    // /proc has no extended attributes at all.
    assert.equal(getXattrAt(CURRENT_DIRECTORY, '/proc/self/status', 'user.none'), undefined)
  })

  test('names of files and keys may hold any bytes', () => {
    const name = decodeFileName(Buffer.from([0x66, 0xff, 0x20, 0x27]))
    const key = decodeFileName(Buffer.from('user.\xfe\x80', 'latin1'))
    close(openAt(directory, name, constants.O_CREAT | constants.O_WRONLY, 0o600))
    setXattrAt(directory, name, { key, value: everyByte })
    assert.deepEqual([...readXattrsAt(directory, name)], [[key, everyByte]])
  })

  test('hostile #4: attributes of a link are its own, its target is not touched', { skip: !root && 'trusted.* needs root' }, () => {
    writeFileSync(join(scratch, 'target'), '')
    symlinkAt('target', directory, 'link')
    setXattrAt(directory, 'link', { key: 'trusted.own', value: Buffer.from('link') })
    assert.equal(String(getXattrAt(directory, 'link', 'trusted.own')), 'link')
    assert.equal(readXattrsAt(directory, 'target').size, 0)
    // The kernel has no user attributes on links, so this must fail instead of reaching the target.
    assert.throws(() => setXattrAt(directory, 'link', { key: 'user.x', value: Buffer.from('x') }), { code: 'EPERM' })
    assert.equal(readXattrsAt(directory, 'target').size, 0)
    removeXattrAt(directory, 'link', 'trusted.own')
    assert.equal(readXattrsAt(directory, 'link').size, 0)
  })

  test('a file capability is an attribute like any other', { skip: !root && 'needs root' }, () => {
    // struct vfs_cap_data, revision 2: CAP_NET_RAW permitted and effective.
    const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex')
    writeFileSync(join(scratch, 'ping'), '')
    setXattrAt(directory, 'ping', { key: 'security.capability', value: capability })
    assert.deepEqual(getXattrAt(directory, 'ping', 'security.capability'), capability)
  })
})
