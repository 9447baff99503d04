import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { digestOf } from '../oci/index.ts'
import { encodeTarHeader, TAR_END, tarPadding } from '../tar/index.ts'
import {
  applyHere,
  bytesOf,
  dir,
  file,
  hardlink,
  makeDirectory,
  type Member,
  needsRoot,
  opaque,
  scratchDirectory,
  symlink,
  tarOf,
  whiteout,
} from '../../test/layer/layerTars.ts'
import { rebuildTar, TreeContent } from './index.ts'

const skip = needsRoot

async function roundTrip(tar: Uint8Array, scratch: string, chunkBytes: number): Promise<Buffer> {
  const directory = await makeDirectory(scratch, `t${Math.random()}`)
  const headersPath = `${directory}.headers`
  const { index } = await applyHere(tar, directory, { headersPath, chunkBytes })
  assert.equal(index.diffId, digestOf(tar))
  assert.equal(index.tarBytes, tar.length)
  using content = new TreeContent(directory)
  return await bytesOf(rebuildTar({ headersPath, index, payload: node => content.payload(node) }))
}

const paths = fc.array(fc.constantFrom('a', 'b', 'c', '.', 'long'.repeat(30)), { minLength: 1, maxLength: 3 }).map(parts => parts.join('/'))
const content = fc.oneof(
  fc.string(),
  fc.nat(3000).map(size => 'x'.repeat(size)),
)
const members: fc.Arbitrary<Member> = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(paths, content).map(([path, bytes]) => file(path, bytes)) },
  paths.map(path => dir(path)),
  fc.tuple(paths, fc.constantFrom('a', 'b', '../x')).map(([path, target]) => symlink(path, target)),
  fc.tuple(paths, fc.constantFrom('a', 'b', 'a/b')).map(([path, target]) => hardlink(path, target)),
  paths.map(whiteout),
  fc.tuple(paths, content).map(([path, bytes]) => ({ ...file(`${path}/.wh.x`, bytes) })),
  paths.map(opaque),
)
/** How the bytes of a member may be odd: padding that is not zeros. */
const padded = fc.tuple(members, fc.boolean()).map(([{ content: bytes = Buffer.alloc(0), ...header }, odd]) => {
  const padding = Buffer.from(tarPadding(bytes.length))
  if (odd) padding.fill('junk')
  return Buffer.concat([encodeTarHeader(header), bytes, padding])
})

test(
  'hostile #17: rebuildTar() gives every byte of an applied archive again: duplicates, odd padding, trailing garbage',
  { skip },
  async t => {
    const scratch = await scratchDirectory(t)
    const ends = fc.constantFrom(
      TAR_END,
      Buffer.concat([TAR_END, Buffer.alloc(9000)]),
      Buffer.concat([TAR_END, Buffer.from('garbage')]),
      Buffer.alloc(0),
    )
    let rebuilt = 0
    await fc.assert(
      fc.asyncProperty(fc.array(padded, { maxLength: 12 }), ends, fc.integer({ min: 1, max: 5000 }), async (parts, end, chunkBytes) => {
        const tar = Buffer.concat([...parts, end])
        const result = await roundTrip(tar, scratch, chunkBytes).catch((error: { code?: string }) => {
          assert.match(error.code ?? '', /^STRATA_(?!TAR_HEADERS_DAMAGED|FILE_CHANGED|E)/)
        })
        if (result === undefined) return
        rebuilt += 1
        assert.ok(result.equals(tar))
      }),
      { numRuns: 250 },
    )
    assert.ok(rebuilt > 50, `${rebuilt} archives were layers`)
  },
)

test('hostile #17: rebuildTar() repeats what GNU tar writes in each of its formats, sparse files too', { skip }, async t => {
  const scratch = await scratchDirectory(t)
  const source = await makeDirectory(scratch, 'source')
  execFileSync('sh', [
    '-c',
    `cd "$1" && mkdir -p d/${'deep/'.repeat(30)}x && truncate -s 3M d/sparse && printf data | dd of=d/sparse bs=1 seek=1500000 conv=notrunc status=none &&
     truncate -s 1M d/hole && head -c 700000 /dev/urandom > d/random && ln d/random d/linked && ln -s ${'t'.repeat(150)} d/link && mkfifo d/pipe && touch -d '1950-01-01 00:00:00.5' d/old`,
    'sh',
    source,
  ])
  for (const options of [
    '--format=v7',
    '--format=ustar',
    '--format=gnu',
    '--format=posix',
    '--format=gnu --sparse',
    '--format=posix --sparse',
    '--format=posix --sparse --sparse-version=0.1',
    '--format=posix --sparse --sparse-version=0.0',
    '--format=oldgnu --sparse',
  ]) {
    const format = options.split(' ')
    const tar = execFileSync('sh', ['-c', `tar "$@" -C ${source} -cf - d 2>/dev/null || true`, 'sh', ...format], { maxBuffer: 2 ** 26 })
    for (const chunkBytes of [64 * 1024, 777]) assert.ok((await roundTrip(tar, scratch, chunkBytes)).equals(tar), options)
  }
})

test('rebuildTar() keeps what a layer replaces itself, files of many chunks and of several names included', { skip }, async t => {
  const scratch = await scratchDirectory(t)
  const big = Buffer.alloc(1_500_000, 'abcdefg')
  const tar = tarOf(
    file('d/big', big),
    hardlink('d/same', 'd/big'),
    file('d/x', 'x'),
    file('keep', big),
    hardlink('keep2', 'keep'),
    file('keep', 'new'),
    file('d', 'replaces'),
    file('d'),
  )
  assert.ok((await roundTrip(tar, scratch, 100_000)).equals(tar))
})

test('rebuildTar() rejects when a file is smaller or gone, and when its own file is damaged', { skip }, async t => {
  const scratch = await scratchDirectory(t)
  const directory = await makeDirectory(scratch, 'tree')
  const headersPath = join(scratch, 'headers')
  const { index } = await applyHere(tarOf(file('a', 'x'.repeat(1000)), file('b', 'y')), directory, { headersPath })
  using content_ = new TreeContent(directory)
  const rebuild = (path: string): Promise<Buffer> =>
    bytesOf(rebuildTar({ headersPath: path, index, payload: node => content_.payload(node) }))
  const whole = await readFile(headersPath)
  for (let size = 0; size < whole.length; size += 5) {
    await writeFile(join(scratch, 'cut'), whole.subarray(0, size))
    await assert.rejects(rebuild(join(scratch, 'cut')), { kind: 'dataLoss' })
  }
  await truncate(join(directory, 'a'), 10)
  await assert.rejects(rebuild(headersPath), { code: 'STRATA_FILE_CHANGED' })
})
