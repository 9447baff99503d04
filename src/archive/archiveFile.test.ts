import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { encodeTarHeader, TAR_END, type TarHeader, tarPadding } from '../tar/index.ts'
import { ArchiveFile } from './archiveFile.ts'

const scratch = mkdtempSync(join(tmpdir(), 'strata-archive-file-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

type Member = readonly [path: string, content: string | { readonly type: 'symlink' | 'hardlink' | 'directory'; readonly linkPath?: string }]

function tarOf(...members: readonly Member[]): Buffer {
  const parts = members.flatMap(([path, content]) => {
    const bytes = Buffer.from(typeof content === 'string' ? content : '')
    const header: TarHeader = {
      type: typeof content === 'string' ? 'file' : content.type,
      path,
      linkPath: typeof content === 'string' ? '' : (content.linkPath ?? ''),
      mode: 0o644,
      uid: 0,
      gid: 0,
      userName: '',
      groupName: '',
      size: bytes.length,
      modifiedAt: { seconds: 0, nanoseconds: 0 },
      xattrs: new Map(),
    }
    return [encodeTarHeader(header), bytes, tarPadding(bytes.length)]
  })
  return Buffer.concat([...parts, TAR_END])
}

let files = 0
function opened(bytes: Uint8Array): Promise<ArchiveFile> {
  files += 1
  const path = join(scratch, `${files}.tar`)
  writeFileSync(path, bytes)
  return ArchiveFile.open(path, 'the archive')
}

const text = async (archive: ArchiveFile, name: string): Promise<string> => (await archive.read(name, 1e6)).toString()

/** A GNU long name, as tar(1) and old Docker write it: a member of type L with the name as its content. */
function gnuLongName(name: string, content: string): Buffer {
  const header = (type: string, short: string, size: number): Buffer => {
    const block = Buffer.alloc(512)
    block.write(short, 0)
    block.write('0000644\0', 100)
    block.write('0000000\0', 108)
    block.write('0000000\0', 116)
    block.write(`${size.toString(8).padStart(11, '0')}\0`, 124)
    block.write('00000000000\0', 136)
    block.write('        ', 148)
    block.write(type, 156)
    block.write('ustar  \0', 257)
    const sum = block.reduce((total, byte) => total + byte, 0)
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
    return block
  }
  const padded = (value: string): Buffer => Buffer.concat([Buffer.from(value), tarPadding(value.length)])
  return Buffer.concat([
    header('L', '././@LongLink', name.length + 1),
    padded(`${name}\0`),
    header('0', name.slice(0, 100), content.length),
    padded(content),
  ])
}

test('an ArchiveFile finds members by name, however it is written, and long names too', async () => {
  const long = `${'directory/'.repeat(30)}file`
  const gnu = `${'g'.repeat(150)}/layer.tar`
  const archive = await opened(
    Buffer.concat([gnuLongName(gnu, 'gnu'), tarOf(['./a', 'A'], ['b//c', 'C'], [long, 'long'], ['d/', { type: 'directory' }])]),
  )
  assert.equal(await text(archive, 'a'), 'A')
  assert.equal(await text(archive, './b/c'), 'C')
  assert.equal(await text(archive, long), 'long')
  assert.equal(await text(archive, gnu), 'gnu')
  assert.equal(archive.has('d'), true)
  assert.equal(archive.has('nothing'), false)
  assert.throws(() => archive.extent('d'), { code: 'STRATA_ARCHIVE_INCOMPLETE' })
})

test('an ArchiveFile takes the last of two members of one name', async () => {
  assert.equal(await text(await opened(tarOf(['a', 'old'], ['a', 'new'])), 'a'), 'new')
})

test('hostile #63: links are followed inside the archive only, and in no circle', async () => {
  const archive = await opened(
    tarOf(
      ['x/layer.tar', 'X'],
      ['y/layer.tar', { type: 'symlink', linkPath: '../x/layer.tar' }],
      ['z', { type: 'hardlink', linkPath: 'y/layer.tar' }],
      ['absolute', { type: 'symlink', linkPath: '/x/layer.tar' }],
      ['out', { type: 'symlink', linkPath: '../../etc/passwd' }],
      ['passwd', { type: 'symlink', linkPath: '/etc/passwd' }],
      ['a', { type: 'symlink', linkPath: 'b' }],
      ['b', { type: 'symlink', linkPath: 'a' }],
    ),
  )
  for (const name of ['y/layer.tar', 'z', 'absolute']) assert.equal(await text(archive, name), 'X', name)
  for (const name of ['out', 'passwd', 'a']) assert.equal(archive.has(name), false, name)
})

test('hostile #65: members whose names lead out of the archive are not in it', async () => {
  const archive = await opened(tarOf(['../a', 'out'], ['b/../../c', 'out'], ['d/../e', 'in']))
  assert.equal(await text(archive, 'e'), 'in')
  for (const name of ['a', '../a', 'c']) assert.equal(archive.has(name), false, name)
})

test('open() rejects for an archive that is cut inside a member, and names it', async () => {
  const whole = tarOf(['a', 'a'.repeat(2000)], ['b', 'b'])
  await assert.rejects(opened(whole.subarray(0, 1000)), {
    kind: 'dataLoss',
    code: 'STRATA_ARCHIVE_TRUNCATED',
    message: /"the archive": .*"a"/,
  })
  await assert.rejects(opened(Buffer.from('no tar'.repeat(200))))
})

test('hostile #64: read() takes no more than its limit', async () => {
  const archive = await opened(tarOf(['big', 'x'.repeat(10_000)]))
  await assert.rejects(archive.read('big', 9_999), /"big" of archive "the archive"/)
  assert.equal((await archive.read('big', 10_000)).length, 10_000)
})

test('hostile #64: an archive of more members than any image has, or with names without end, is refused', async () => {
  const [header] = [tarOf(['d/', { type: 'directory' }]).subarray(0, 512)]
  await assert.rejects(opened(Buffer.concat([...Array.from({ length: 50_001 }, (_, n) => named(header, `d/${n}`)), TAR_END])), {
    kind: 'resourceExhausted',
    message: /^Cannot read archive "the archive": it has more than 50000 members$/,
  })
  const long = tarOf(...Array.from({ length: 80 }, (_, n): Member => [`${n}${'/long'.repeat(90_000)}`, '']))
  await assert.rejects(opened(long), { kind: 'resourceExhausted' })
})

/** The same header with another short name. */
function named(header: Buffer, name: string): Buffer {
  const block = Buffer.from(header)
  block.fill(0, 0, 100).write(name)
  block.fill(' ', 148, 156)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return block
}

test('hostile #64: many small documents are refused where together they are too large, whatever each one has', async () => {
  const archive = await opened(tarOf(['config', 'x'.repeat(4_000_000)]))
  const read = async (): Promise<void> => {
    for (let times = 0; times < 40; times += 1) await archive.read('config', 4_194_304)
  }
  await assert.rejects(read, { kind: 'resourceExhausted', message: /^Cannot read archive "the archive": its documents have more than/ })
})
