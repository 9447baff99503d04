import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { drain, streamOf } from '../../src/base/index.ts'
import { openContent } from '../../src/content/index.ts'
import { mount, unmount } from '../../src/host/index.ts'
import { collect, Leases, openMetadata, openRootDirectory, Trash } from '../../src/metadata/index.ts'
import { type Descriptor, digestOf } from '../../src/oci/index.ts'
import { testBytes } from '../../src/testing/contentStoreProcess.ts'

const skip = process.getuid?.() === 0 ? false : 'mounting a tmpfs needs root'
const KIBIBYTE = 1024

function blob(fill: number, size: number): { target: Descriptor; bytes: Buffer } {
  const bytes = testBytes(fill, size)
  return { target: { mediaType: 'application/octet-stream', digest: digestOf(bytes), size }, bytes }
}

test(
  'hostile #68: put() on a full disk says so, shows nothing, keeps what was there, and works again when there is space',
  { skip },
  async () => {
    const disk = mkdtempSync(join(tmpdir(), 'strata-full-'))
    mount({ type: 'tmpfs', source: 'tmpfs', options: [`size=${4096 * KIBIBYTE}`] }, disk)
    try {
      const root = join(disk, 'root')
      using metadata = openMetadata(openRootDirectory(root))
      const content = openContent({ root, metadata })
      const kept = blob(1, 200 * KIBIBYTE)
      await content.put(kept.target, streamOf(kept.bytes))

      const big = blob(2, 4096 * KIBIBYTE)
      await assert.rejects(content.put(big.target, streamOf(big.bytes)), {
        kind: 'resourceExhausted',
        code: 'STRATA_ENOSPC',
        hint: /Free some space/,
      })
      {
        await using ingest = await content.ingest('big', { target: big.target })
        await assert.rejects(ingest.write(streamOf(big.bytes)), { kind: 'resourceExhausted' })
      }
      assert.deepEqual(readdirSync(join(root, 'ingest')), [])

      // Disks that are full but for a few kilobytes: the space ends while the bytes, the name or the record is written.
      for (let free = 0; free <= 400; free += 8) {
        const filler = join(disk, 'filler')
        fillAllBut(filler, free * KIBIBYTE)
        const small = blob(1000 + free, 40 * KIBIBYTE)
        try {
          await content.put(small.target, streamOf(small.bytes))
          assert.equal(await content.has(small.target), true)
        } catch (error) {
          assert.equal((error as { kind?: string }).kind, 'resourceExhausted')
          assert.equal(await content.has(small.target), false)
          assert.deepEqual(readdirSync(join(root, 'ingest')), [])
        }
        rmSync(filler, { force: true })
        for await (const problem of content.verify()) assert.fail(`${problem.path} is ${problem.state}`)
        await content.delete(small.target.digest)
      }
      await drain(await content.open(kept.target))
      const again = blob(3, 500 * KIBIBYTE)
      await content.put(again.target, streamOf(again.bytes))
      await drain(await content.open(again.target))
    } finally {
      unmount(disk, { detach: true })
      rmSync(disk, { recursive: true, force: true })
    }
  },
)

/** Fills the disk with a file, and gives back so many bytes of it. */
function fillAllBut(path: string, free: number): void {
  assert.throws(() => writeFileSync(path, Buffer.alloc(8192 * KIBIBYTE)), { code: 'ENOSPC' })
  truncateSync(path, Math.max(0, statSync(path).size - free))
}

test('hostile #68: a collection makes room on a disk that is full to the last byte', { skip }, async () => {
  const disk = mkdtempSync(join(tmpdir(), 'strata-full-'))
  mount({ type: 'tmpfs', source: 'tmpfs', options: [`size=${6144 * KIBIBYTE}`] }, disk)
  try {
    const root = join(disk, 'root')
    const big = blob(1, 2048 * KIBIBYTE)
    {
      using metadata = openMetadata(openRootDirectory(root))
      const content = openContent({ root, metadata })
      await content.put(big.target, streamOf(big.bytes))
      for (let n = 0; n < 200; n += 1) {
        const small = blob(100 + n, 100)
        await content.put(small.target, streamOf(small.bytes))
      }
    }
    for (let round = 0; round < 2; round += 1) {
      const filler = join(disk, 'filler')
      assert.throws(() => writeFileSync(filler, Buffer.alloc(8192 * KIBIBYTE)), { code: 'ENOSPC' })
      using metadata = openMetadata(openRootDirectory(root))
      const content = openContent({ root, metadata })
      await collect({ metadata, leases: new Leases(metadata), kinds: content.collectables(), roots: () => [] })
      await new Trash(root).empty()
      assert.deepEqual(readdirSync(join(root, 'blobs', 'sha256')), [])
      rmSync(filler)
      await content.put(big.target, streamOf(big.bytes))
    }
  } finally {
    unmount(disk, { detach: true })
    rmSync(disk, { recursive: true, force: true })
  }
})
