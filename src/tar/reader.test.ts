import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import * as fc from 'fast-check'
import { type ByteStream, readAtMost, streamOf } from '../base/index.ts'
import { encodeTarHeader, readTar, TAR_END, type TarMember, tarPadding } from './index.ts'
import { expandSparse } from './sparse.ts'

function member(path: string, payload: Buffer): Buffer {
  const header = encodeTarHeader({
    type: 'file',
    path,
    linkPath: '',
    mode: 0o644,
    uid: 0,
    gid: 0,
    userName: '',
    groupName: '',
    size: payload.length,
    modifiedAt: { seconds: 0, nanoseconds: 0 },
    xattrs: new Map(),
  })
  return Buffer.concat([header, payload, tarPadding(payload.length)])
}

async function* cut(bytes: Buffer, size: number): ByteStream {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

const payloads = ['', 'a', 'b'.repeat(3000), 'c'.repeat(512)].map(text => Buffer.from(text))
const archive = Buffer.concat([...payloads.map((payload, at) => member(`f${at}`, payload)), TAR_END, Buffer.from('trailing')])

suite('readTar()', () => {
  test('gives every member with its content, however the archive is cut', async () => {
    for (const size of [1, 100, 512, 1000, archive.length]) {
      const seen: [string, string][] = []
      for await (const { path, body } of readTar(cut(archive, size))) seen.push([path, (await readAtMost(body, 1e6)).toString()])
      assert.deepEqual(
        seen,
        payloads.map((payload, at) => [`f${at}`, payload.toString()]),
      )
    }
  })

  test('skips bodies that are not read, or only begun', async () => {
    const seen: string[] = []
    for await (const { path, body } of readTar(cut(archive, 100))) {
      seen.push(path)
      if (path === 'f2') for await (const _ of body) break
    }
    assert.deepEqual(seen, ['f0', 'f1', 'f2', 'f3'])
  })

  test('reads its source to the end, past the end marker', async () => {
    let size = 0
    async function* counted(): ByteStream {
      for await (const chunk of cut(archive, 64)) {
        size += chunk.length
        yield chunk
      }
    }
    for await (const _ of readTar(counted())) void _
    assert.equal(size, archive.length)
  })

  test('closes its source when the caller stops', async () => {
    let closed = false
    async function* source(): ByteStream {
      try {
        yield* cut(archive, 64)
      } finally {
        closed = true
      }
    }
    for await (const _ of readTar(source())) break
    assert.ok(closed)
  })

  test('hands out the members before a fault, then rejects', async () => {
    const seen: string[] = []
    await assert.rejects(
      async () => {
        for await (const { path } of readTar(streamOf(Buffer.concat([member('good', Buffer.from('x')), Buffer.alloc(512, 1)]))))
          seen.push(path)
      },
      { code: 'STRATA_TAR_MALFORMED' },
    )
    assert.deepEqual(seen, ['good'])
    await assert.rejects(
      async () => {
        for await (const { body } of readTar(streamOf(member('f', Buffer.alloc(600)).subarray(0, 700)))) await readAtMost(body, 1e6)
      },
      { code: 'STRATA_TAR_TRUNCATED' },
    )
  })

  test('rejects a body that is read after its time', async () => {
    const members: TarMember[] = []
    for await (const member of readTar(streamOf(archive))) members.push(member)
    await assert.rejects(readAtMost(members[1]!.body, 1e6), { code: 'STRATA_TAR_BODY_GONE' })
  })
})

suite('expandSparse()', () => {
  test('puts the stored bytes where the regions say and zeros elsewhere', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(200_000), fc.integer({ min: 1, max: 5000 })), { maxLength: 5 }),
        fc.nat(100_000),
        fc.integer({ min: 1, max: 4000 }),
        async (gaps, tail, size) => {
          const regions: { offset: number; size: number }[] = []
          let end = 0
          for (const [gap, length] of gaps) {
            regions.push({ offset: end + gap, size: length })
            end += gap + length
          }
          const content = Buffer.alloc(end + tail)
          for (const region of regions) content.fill(0xab, region.offset, region.offset + region.size)
          const stored = Buffer.concat(regions.map(region => content.subarray(region.offset, region.offset + region.size)))
          const expanded = await readAtMost(expandSparse(cut(stored, size), regions, content.length), content.length)
          assert.ok(expanded.equals(content))
        },
      ),
    )
  })

  test('rejects a payload that is shorter than its regions', async () => {
    await assert.rejects(readAtMost(expandSparse(streamOf(Buffer.from('ab')), [{ offset: 0, size: 3 }], 10), 10), { kind: 'dataLoss' })
  })
})
