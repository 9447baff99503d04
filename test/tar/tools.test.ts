import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  type BigIntStats,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { decodeFileName, encodeFileName, findProgram } from '../../src/base/index.ts'
import { encodeTarHeader, readTar, TAR_END, type TarEntry, type TarHeader, tarPadding } from '../../src/tar/index.ts'
import { list } from './rawTar.ts'

/*
 * GNU tar, bsdtar and Python's tarfile as judges, on a tree with everything in it: what they write is
 * read as what lies on the disk, and what is written here they extract to the same tree.
 */

/** Where it is missing, xattrs are not compared. */
const GETFATTR = 'getfattr'

const isRoot = process.getuid?.() === 0

/** What a tree looks like: a line per path. */
interface Fact {
  type: string
  mode: number
  uid: number
  gid: number
  seconds: number
  nanoseconds: number
  /** Of a file: size and hash of its content; of a link: its target; of a device: its numbers. */
  what: string
  xattrs: string
  /** The first path of the same inode, where there are several. */
  firstName: string
}
type Facts = Record<string, Partial<Fact>>

const TREE = String.raw`
set -e
mkdir -p d/empty "d/with space"
printf 'hello\n' > d/file; chmod 4755 d/file
: > d/nothing; touch -d @1 d/nothing
ln d/file d/hard; ln -s file d/soft; ln -s /absolute/../target d/dangling
printf x > "d/é"; printf x > "$(printf 'd/\377\376bytes')"; printf x > "$(printf 'd/new\nline')"; printf x > 'd/=%3D'
long=$(printf 'n%.0s' $(seq 255)); printf x > "d/$long"
p=d; for i in 1 2 3 4 5; do p="$p/$(printf "$i%.0s" $(seq 90))"; mkdir "$p"; done; printf deep > "$p/$(printf 'z%.0s' $(seq 120))"
ln -s "$(printf 'q%.0s' $(seq 200))" d/longlink; ln "d/$long" d/hardlong
touch -d @1700000000.123456789 d/file; touch -h -d @-5.25 d/soft; touch -d @-5.75 d/empty; touch -d '2100-01-01 00:00:00.000000001 UTC' "d/é"
truncate -s 300000 d/sparse; printf data | dd of=d/sparse bs=1 seek=100000 conv=notrunc status=none; printf data | dd of=d/sparse bs=1 seek=250000 conv=notrunc status=none
mkfifo d/fifo; head -c 100000 /dev/urandom > d/random
`
const ROOT_TREE = String.raw`
mknod d/char c 1 3; mknod d/block b 259 1048575; chmod 0000 d/nothing
chown 3000000:4000000 d/random; chown -h 1:2 d/soft
if command -v setfattr >/dev/null; then setfattr -n user.binary -v 0x00ff0a3d00 d/file; setfattr -n user.text -v text d/empty; setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 d/random; fi
`

let home = ''
let facts: Facts = {}

before(() => {
  home = mkdtempSync(join(tmpdir(), 'strata-tar-'))
  run('bash', ['-c', isRoot ? TREE + ROOT_TREE : TREE])
  facts = factsOf(join(home, 'd'))
})

after(() => rmSync(home, { recursive: true, force: true }))

function run(program: string, args: readonly string[], cwd = home): void {
  const result = spawnSync(program, args, { cwd, env: { ...process.env, LC_ALL: 'C.UTF-8', TZ: 'UTC' } })
  assert.equal(result.status, 0, `${program} ${args.join(' ')}: ${String(result.stderr)}`)
}

/** Skips where a program is missing. */
async function needs(program: string): Promise<string | false> {
  return (await findProgram(program)) === undefined ? `${program} is not installed` : false
}

function factsOf(root: string): Facts {
  const result: Facts = {}
  const inodes = new Map<bigint, string>()
  const visit = (path: string): void => {
    const bytes = encodeFileName(join(root, path))
    const stat = lstatSync(bytes, { bigint: true })
    const first = stat.nlink > 1n && !stat.isDirectory() ? (inodes.get(stat.ino) ?? path) : ''
    inodes.set(stat.ino, first)
    result[path] = factOf(bytes, stat, first)
    if (!stat.isDirectory()) return
    for (const name of readdirSync(bytes, { encoding: 'buffer' }).sort((a, b) => Buffer.compare(a, b)))
      visit(join(path, decodeFileName(name)))
  }
  visit('')
  return result
}

function factOf(path: Buffer, stat: BigIntStats, firstName: string): Fact {
  const seconds = Number(stat.mtimeNs / 1_000_000_000n) - (stat.mtimeNs % 1_000_000_000n < 0n ? 1 : 0)
  const xattrs = spawnSync(GETFATTR, ['-h', '--absolute-names', '-d', '-m', '^(user|security.cap)', '-e', 'hex', decodeFileName(path)])
  const what = stat.isFile()
    ? hashOf(readFileSync(path))
    : stat.isSymbolicLink()
      ? decodeFileName(readlinkSync(path, { encoding: 'buffer' }))
      : stat.isCharacterDevice() || stat.isBlockDevice()
        ? `${major(stat.rdev)}:${minor(stat.rdev)}`
        : ''
  return {
    type: { 0o100000: 'file', 0o040000: 'directory', 0o120000: 'symlink', 0o020000: 'character', 0o060000: 'block', 0o010000: 'fifo' }[
      Number(stat.mode) & 0o170000
    ]!,
    mode: Number(stat.mode) & 0o7777,
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    seconds,
    nanoseconds: Number(((stat.mtimeNs % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n),
    what,
    xattrs: xattrs.status === 0 ? xattrs.stdout.toString().split('\n').slice(1).filter(Boolean).sort().join(' ') : '',
    firstName,
  }
}

/** How glibc's makedev packs the numbers. */
function major(device: bigint): bigint {
  return ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn)
}

function minor(device: bigint): bigint {
  return (device & 0xffn) | ((device >> 12n) & ~0xffn)
}

function hashOf(content: Buffer): string {
  return `${content.length} ${createHash('sha256').update(content).digest('hex')}`
}

/** The facts that an archive states. */
async function factsOfArchive(path: string): Promise<Facts> {
  const archive = readFileSync(path)
  assert.ok(list(archive, { chunkBytes: 100_003 }).bytes.equals(archive), 'raw and data are the whole archive')
  const result: Facts = {}
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < archive.length; at += 65_536) yield archive.subarray(at, at + 65_536)
  }
  for await (const entry of readTar(chunks())) {
    const parts: Uint8Array[] = []
    for await (const part of entry.body) parts.push(part)
    const fact = entryFact(entry, Buffer.concat(parts))
    const first = entry.type === 'hardlink' ? result[pathOf(entry.linkPath)] : undefined
    result[pathOf(entry.path)] = first === undefined ? fact : { ...first, firstName: pathOf(entry.linkPath) }
    if (first !== undefined) first.firstName = pathOf(entry.linkPath)
  }
  // Which of an inode's names comes first depends on the disk that the archiver read.
  const names = Map.groupBy(Object.keys(result), path => result[path]!.firstName)
  for (const [first, paths] of names) if (first !== '') for (const path of paths) result[path]!.firstName = paths.toSorted()[0]!
  return result
}

const pathOf = (path: string): string => path.replace(/^\.?\/?d\/?/, '').replace(/\/$/, '')

function entryFact(entry: TarEntry, content: Buffer): Partial<Fact> {
  return {
    type: entry.type,
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    seconds: entry.modifiedAt.seconds,
    nanoseconds: entry.modifiedAt.nanoseconds,
    what:
      entry.type === 'file'
        ? hashOf(content)
        : entry.type === 'symlink'
          ? entry.linkPath
          : entry.device === undefined
            ? ''
            : `${entry.device.major}:${entry.device.minor}`,
    xattrs: [...entry.xattrs]
      .filter(([key]) => /^(user|security\.cap)/.test(key))
      .map(([key, value]) => `${key}=0x${Buffer.from(value).toString('hex')}`)
      .sort()
      .join(' '),
    firstName: '',
  }
}

/** Only what a format can say. */
function reduced(from: Facts, without: readonly (keyof Fact)[], keep: (path: string, fact: Partial<Fact>) => boolean = () => true): Facts {
  return Object.fromEntries(
    Object.entries(from)
      .filter(([path, fact]) => keep(path, fact))
      .map(([path, fact]) => [path, Object.fromEntries(Object.entries(fact).filter(([key]) => !without.includes(key as keyof Fact)))]),
  )
}

type Keep = (path: string, fact: Partial<Fact>) => boolean

/** What fits into one header; `hardlong` is there a file of its own, as the name that it links to does not fit. */
const short: Keep = (path, fact) => path.length < 90 && (fact.what ?? '').length < 99 && path !== 'hardlong'
/** libarchive 3 writes -5.25 s as "-6.75" and reads it so: seconds rounded down, then the fraction upwards. */
const notOddlyOld: Keep = (_path, fact) => (fact.seconds ?? 0) >= 0

interface Tool {
  readonly program: string
  readonly args: readonly string[]
  readonly without?: readonly (keyof Fact)[]
  readonly keep?: Keep
  readonly mayFail?: boolean
}

const WRITERS: Readonly<Record<string, Tool>> = {
  'GNU tar, posix': { program: 'tar', args: ['--format=posix', '--xattrs', '--xattrs-include=*', '-cf'] },
  'GNU tar, posix with sparse 0.0': { program: 'tar', args: ['--format=posix', '--xattrs', '--xattrs-include=*', '-S', '--sparse-version=0.0', '-cf'] },
  'GNU tar, posix with sparse 0.1': { program: 'tar', args: ['--format=posix', '--xattrs', '--xattrs-include=*', '-S', '--sparse-version=0.1', '-cf'] },
  'GNU tar, posix with sparse 1.0': { program: 'tar', args: ['--format=posix', '--xattrs', '--xattrs-include=*', '-S', '--sparse-version=1.0', '-cf'] },
  'GNU tar, gnu': { program: 'tar', args: ['--format=gnu', '-cf'], without: ['nanoseconds', 'xattrs'] },
  'GNU tar, gnu with sparse': { program: 'tar', args: ['--format=gnu', '-S', '-cf'], without: ['nanoseconds', 'xattrs'] },
  'GNU tar, oldgnu with sparse': { program: 'tar', args: ['--format=oldgnu', '-S', '-cf'], without: ['nanoseconds', 'xattrs'] },
  'GNU tar, ustar': { program: 'tar', args: ['--format=ustar', '-cf'], without: ['nanoseconds', 'xattrs', 'uid', 'gid'], keep: short, mayFail: true },
  'GNU tar, v7': { program: 'tar', args: ['--format=v7', '-cf'], without: ['nanoseconds', 'xattrs', 'uid', 'gid'], keep: short, mayFail: true },
  'bsdtar, pax': { program: 'bsdtar', args: ['--format=pax', '-cf'], keep: notOddlyOld },
  'bsdtar, gnutar': { program: 'bsdtar', args: ['--format=gnutar', '-cf'], without: ['nanoseconds', 'xattrs'], keep: path => path !== 'block' /* the minor number is too large for it */ },
  'Python, PAX': { program: 'python3', args: ['-c', 'import sys, tarfile\nwith tarfile.open(sys.argv[1], "w", format=tarfile.PAX_FORMAT) as tar: tar.add("d")'], without: ['nanoseconds', 'seconds', 'xattrs'] },
  'Python, GNU': { program: 'python3', args: ['-c', 'import sys, tarfile\nwith tarfile.open(sys.argv[1], "w", format=tarfile.GNU_FORMAT) as tar: tar.add("d")'], without: ['nanoseconds', 'seconds', 'xattrs'] },
} // prettier-ignore

suite('readTar() reads as what lies on the disk the archives of', () => {
  for (const [title, { program, args, without = [], keep, mayFail }] of Object.entries(WRITERS)) {
    test(title, async t => {
      const missing = await needs(program)
      if (missing !== false) return t.skip(missing)
      const archive = join(home, 'theirs.tar')
      const result = spawnSync(program, [...args, archive, ...(program === 'python3' ? [] : ['d'])], {
        cwd: home,
        env: { ...process.env, LC_ALL: 'C.UTF-8' },
      })
      if (mayFail !== true) assert.equal(result.status, 0, String(result.stderr))
      const selected = (all: Facts): Facts => {
        // An archiver of a dialect without fractions rounds times before 1970 as it likes.
        const wanted = without.includes('nanoseconds')
          ? (path: string, fact: Partial<Fact>) => (fact.seconds ?? 0) >= 0 && (keep?.(path, fact) ?? true)
          : keep
        return reduced(all, without, (path, fact) => (wanted?.(path, facts[path] ?? fact) ?? true) && (mayFail !== true || path in theirs))
      }
      const theirs = await factsOfArchive(archive)
      if (mayFail === true) assert.ok(Object.keys(theirs).length > 10)
      assert.deepEqual(selected(theirs), selected(facts))
    })
  }
})

const READERS: Readonly<Record<string, Tool>> = {
  'GNU tar': { program: 'tar', args: ['--xattrs', '--xattrs-include=*', '--numeric-owner', '-xpf'] },
  bsdtar: { program: 'bsdtar', args: ['--numeric-owner', '-xpf'], keep: notOddlyOld },
  'Python tarfile': {
    program: 'python3',
    args: ['-c', 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(".", numeric_owner=True)'],
    // It goes through floating point, follows no xattrs, and sets no times of links.
    without: ['nanoseconds', 'seconds', 'xattrs'],
  },
}

suite('encodeTarHeader() writes what extracts to the same tree with', () => {
  for (const [title, { program, args, without = [], keep }] of Object.entries(READERS)) {
    test(title, async t => {
      const missing = isRoot ? await needs(program) : 'owners and devices need root'
      if (missing !== false) return t.skip(missing)
      const target = mkdtempSync(join(home, 'x-'))
      writeFileSync(join(home, 'ours.tar'), ourArchive())
      mkdirSync(target, { recursive: true })
      run(program, [...args, join(home, 'ours.tar')], target)
      const selected = (all: Facts): Facts => reduced(all, without, path => keep?.(path, facts[path] ?? {}) ?? true)
      assert.deepEqual(selected(factsOf(join(target, 'd'))), selected(facts))
    })
  }
})

function ourArchive(): Buffer {
  const parts: Buffer[] = []
  // Directories last to first come behind their content, so that writing into them does not change their time.
  for (const [path, fact] of Object.entries(facts)) {
    const full = join(home, 'd', path)
    const isLink = fact.firstName !== '' && fact.firstName !== path
    const content = fact.type === 'file' && !isLink ? readFileSync(encodeFileName(full)) : Buffer.alloc(0)
    const [deviceMajor, deviceMinor] = (fact.what ?? '').split(':').map(Number)
    const header: TarHeader = {
      type: isLink ? 'hardlink' : (fact.type as TarHeader['type']),
      path: path === '' ? 'd' : `d/${path}`,
      linkPath: isLink ? `d/${fact.firstName}` : fact.type === 'symlink' ? fact.what! : '',
      mode: fact.mode!,
      uid: fact.uid!,
      gid: fact.gid!,
      userName: '',
      groupName: '',
      size: content.length,
      modifiedAt: { seconds: fact.seconds!, nanoseconds: fact.nanoseconds! },
      xattrs: new Map(
        fact
          .xattrs!.split(' ')
          .filter(Boolean)
          .map(line => [line.slice(0, line.indexOf('=')), Buffer.from(line.slice(line.indexOf('=') + 3), 'hex')]),
      ),
      ...(fact.type === 'character' || fact.type === 'block' ? { device: { major: deviceMajor!, minor: deviceMinor! } } : {}),
    }
    parts.push(encodeTarHeader(header), content, tarPadding(content.length))
  }
  return Buffer.concat([...parts, TAR_END])
}
