import assert from 'node:assert/strict'
import { closeSync, ftruncateSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs'
import { mkdir, mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import * as fc from 'fast-check'
import { digestOf } from '../../src/oci/index.ts'
import { type ErofsDirectory, type ErofsFile, type ErofsNode, openErofs, writeErofs } from '../../src/erofs/index.ts'
import {
  close,
  CURRENT_DIRECTORY,
  mount,
  openAt,
  openDirectoryAt,
  readDirectory,
  readlinkAt,
  readXattrsAt,
  removeTree,
  statAt,
  unmount,
} from '../../src/host/index.ts'
import { childrenOf, directory, trees } from './trees.ts'

const skip = process.getuid?.() === 0 ? false : 'needs root: it mounts'
const DEVICE_BLOCKS = 4096

/** What the kernel shows of an image is what was written. */
describe('an image that writeErofs() wrote', { skip }, () => {
  let place = ''
  let target = ''
  let image = ''
  const devices: string[] = []
  const contents: Buffer[] = []

  before(async () => {
    // Not in /tmp, which may be a tmpfs (Debian 13): EROFS mounts no file of one.
    place = await mkdtemp('/var/tmp/strata-erofs-')
    target = join(place, 'mnt')
    image = join(place, 'image')
    await mkdir(target)
    for (const n of [0, 1, 2]) {
      const bytes = Buffer.alloc(n === 1 ? 1000 : DEVICE_BLOCKS * 512)
      for (let block = 0; block * 512 < bytes.length; block += 1)
        bytes.fill(`device ${n} block ${block} `, block * 512, Math.min(bytes.length, (block + 1) * 512))
      devices.push(join(place, `device${n}`))
      contents.push(bytes)
      writeFileSync(devices[n]!, bytes)
    }
  })
  after(() => removeTree(CURRENT_DIRECTORY, place))

  function mounted<T>(bytes: Uint8Array, use: () => T): T {
    writeFileSync(image, bytes)
    mount({ type: 'erofs', source: image, options: ['ro', ...devices.map(path => `device=${path}`)] }, target)
    try {
      return use()
    } finally {
      unmount(target, { detach: true })
    }
  }

  const deviceList = (): { bytes: number }[] => contents.map(({ length }) => ({ bytes: length }))

  test('is shown by the kernel as it was meant: names, attributes, links, devices, contents', () => {
    fc.assert(
      fc.property(trees, root => {
        const bytes = writeErofs(root, deviceList())
        mounted(bytes, () => assert.deepEqual(differences(kernelFacts(target), treeFacts(root, contents)), []))
        assert.equal(openErofs(bytes).inodes, new Set(allNodes(root)).size)
      }),
      { numRuns: Number(process.env['STRATA_RUNS'] ?? 60) },
    )
  })

  test('has large directories and files beyond 4 GiB', () => {
    const large = join(place, 'large')
    const fd = openSync(large, 'w')
    ftruncateSync(fd, 2 ** 33)
    writeSync(fd, 'far away', 2 ** 33 - 512)
    closeSync(fd)
    const attributes = { mode: 0o644, uid: 0, gid: 0, modifiedAt: { seconds: 2 ** 33, nanoseconds: 5 }, xattrs: new Map() }
    const many = new Map(
      Array.from({ length: 20_000 }, (_, n): [string, ErofsNode] => [`file-${n}`, { ...attributes, type: 'file', size: 0, content: [] }]),
    )
    const far: ErofsFile = {
      ...attributes,
      type: 'file',
      size: 2 ** 40 + 8,
      content: [{ offset: 2 ** 40, size: 8, device: 0, position: 2 ** 33 - 512 }],
    }
    const bytes = writeErofs(
      directory(
        new Map<string, ErofsNode>([
          ['many', directory(many)],
          ['far', far],
        ]),
      ),
      [{ bytes: 2 ** 33 }],
    )
    writeFileSync(image, bytes)
    mount({ type: 'erofs', source: image, options: ['ro', `device=${large}`] }, target)
    try {
      const fd = openDirectoryAt(CURRENT_DIRECTORY, join(target, 'many'))
      assert.equal(readDirectory(fd).length, 20_000)
      for (const name of many.keys()) assert.equal(statAt(fd, name).type, 'file')
      close(fd)
      const stat = statAt(CURRENT_DIRECTORY, join(target, 'far'))
      assert.deepEqual([stat.size, stat.modifiedAt], [far.size, far.modifiedAt])
      const buffer = Buffer.alloc(16)
      const open = openSync(join(target, 'far'), 'r')
      assert.equal(readSync(open, buffer, 0, 16, 2 ** 40), 8)
      assert.equal(buffer.toString('latin1', 0, 8), 'far away')
      assert.equal(readSync(open, buffer, 0, 16, 2 ** 39), 16)
      assert.deepEqual(buffer, Buffer.alloc(16))
      closeSync(open)
    } finally {
      unmount(target, { detach: true })
    }
  })

  test('names more devices than mount(2) has room for', () => {
    const attributes = { mode: 0o644, uid: 0, gid: 0, modifiedAt: { seconds: 1, nanoseconds: 0 }, xattrs: new Map() }
    const files = Array.from({ length: 700 }, (_, n): [string, ErofsNode] => [
      `f${n}`,
      { ...attributes, type: 'file', size: 100, content: [{ offset: 0, size: 100, device: n, position: n * 512 }] },
    ])
    writeFileSync(
      image,
      writeErofs(
        directory(new Map(files)),
        Array.from(files, () => ({ bytes: DEVICE_BLOCKS * 512 })),
      ),
    )
    mount({ type: 'erofs', source: image, options: ['ro', ...files.map(() => `device=${devices[0]}`)] }, target)
    try {
      for (const n of [0, 1, 350, 699])
        assert.equal(
          readFile(CURRENT_DIRECTORY, join(target, `f${n}`), 100).toString(),
          contents[0]!.toString('latin1', n * 512, n * 512 + 100),
        )
    } finally {
      unmount(target, { detach: true })
    }
  })
})

function* allNodes(root: ErofsDirectory): Generator<ErofsNode> {
  const pending: ErofsNode[] = [root]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    yield next
    if (next.type === 'directory') pending.push(...childrenOf(next).map(([, child]) => child))
  }
}

/** Path to what is there; names of one inode have the same first path. */
type Facts = Record<string, unknown>

/** What is not the same, few enough to be read. */
function differences(actual: Facts, expected: Facts): readonly string[] {
  const paths = [...new Set([...Object.keys(actual), ...Object.keys(expected)])]
  return paths
    .filter(path => JSON.stringify(actual[path]) !== JSON.stringify(expected[path]))
    .slice(0, 3)
    .map(path => `${path}: ${JSON.stringify(actual[path])} is not ${JSON.stringify(expected[path])}`)
}

const hex = (xattrs: ReadonlyMap<string, Uint8Array>): unknown =>
  [...xattrs].map(([name, value]) => `${name}=${Buffer.from(value).toString('hex')}`).toSorted()

function treeFacts(root: ErofsDirectory, contents: readonly Buffer[]): Facts {
  const names: { path: string; node: ErofsNode }[] = []
  const walk = (path: string, node: ErofsNode): void => {
    names.push({ path, node })
    if (node.type !== 'directory') return
    for (const [name, child] of childrenOf(node).toSorted(([a], [b]) => (a < b ? -1 : 1))) walk(`${path}/${name}`, child)
  }
  walk('', root)
  const links = Map.groupBy(names, ({ node }) => node)
  const facts: Facts = {}
  for (const { path, node } of names) {
    const { type, mode, uid, gid, modifiedAt, xattrs } = node
    const subdirectories = node.type === 'directory' ? childrenOf(node).filter(([, { type }]) => type === 'directory').length : 0
    facts[path] = {
      ...{ type, mode, uid, gid, modifiedAt: { ...modifiedAt }, xattrs: hex(xattrs) },
      links: type === 'directory' ? 2 + subdirectories : links.get(node)!.length,
      first: links.get(node)![0]!.path,
      ...(node.type === 'symlink' ? { target: node.target } : {}),
      ...(type === 'character' || type === 'block' ? { rdev: { ...node.device } } : {}),
      ...(node.type === 'file' ? { content: digestOf(contentOf(node, contents)) } : {}),
    }
  }
  return facts
}

function contentOf({ size, content }: ErofsFile, contents: readonly Buffer[]): Buffer {
  if (content instanceof Uint8Array) return Buffer.from(content)
  const bytes = Buffer.alloc(size)
  for (const piece of content) contents[piece.device]!.copy(bytes, piece.offset, piece.position, piece.position + piece.size)
  return bytes
}

function kernelFacts(target: string): Facts {
  const facts: Facts = {}
  const firsts = new Map<bigint, string>()
  const walk = (path: string, parent: number, name: string): void => {
    const { type, mode, uid, gid, modifiedAt, links, inode, rdev, size } = statAt(parent, name)
    if (!firsts.has(inode)) firsts.set(inode, path)
    facts[path] = {
      ...{ type, mode, uid, gid, modifiedAt, xattrs: hex(readXattrsAt(parent, name)) },
      links,
      first: firsts.get(inode),
      ...(type === 'symlink' ? { target: readlinkAt(parent, name) } : {}),
      ...(type === 'character' || type === 'block' ? { rdev: { ...rdev } } : {}),
      ...(type === 'file' ? { content: digestOf(readFile(parent, name, size)) } : {}),
    }
    if (type !== 'directory') return
    const fd = openDirectoryAt(parent, name)
    const names = readDirectory(fd)
    for (const entry of names) assert.equal(entry.type, statAt(fd, entry.name).type)
    for (const entry of names.toSorted((a, b) => (a.name < b.name ? -1 : 1))) walk(`${path}/${entry.name}`, fd, entry.name)
    close(fd)
  }
  walk('', CURRENT_DIRECTORY, target)
  return facts
}

function readFile(parent: number, name: string, size: number): Buffer {
  const fd = openAt(parent, name, 0)
  try {
    const bytes = Buffer.alloc(size + 1)
    let done = 0
    for (let count = 1; count > 0; done += count) count = readSync(fd, bytes, done, bytes.length - done, done)
    return bytes.subarray(0, done)
  } finally {
    close(fd)
  }
}
