import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openContent } from '../../src/content/index.ts'
import { openMetadata, openRootDirectory } from '../../src/metadata/index.ts'
import { digestOf } from '../../src/oci/index.ts'
import { startProcess, testBytes } from '../../src/testing/contentStoreProcess.ts'
import { LosingDisk, whyNoLosingDisk } from '../support/losingDisk.ts'

test(
  'hostile #68, #69: what put() acknowledged survives a power loss, and what it did not is not seen',
  { skip: whyNoLosingDisk },
  async t => {
    await using disk = await LosingDisk.make(256)
    const root = join(disk.mountPoint, 'root')
    const acknowledged = new Set<string>()
    for (let round = 0; round < 4; round += 1) {
      await disk.mount()
      const blobs = Array.from({ length: 60 }, (_, n) => {
        const fill = round * 100 + n
        const bytes = testBytes(fill, n % 2 === 0 ? 3_000 : 200_000)
        return { fill, target: { mediaType: 'application/octet-stream', digest: digestOf(bytes), size: bytes.length } }
      })
      const child = startProcess(new URL('diskStoreModule.ts', import.meta.url), root, { action: 'put', blobs })
      let lines = ''
      child.process.stdout.on('data', (chunk: Buffer) => {
        lines += chunk.toString()
      })
      await child.nextLine()
      await sleep(100 + Math.random() * 200)
      // Stopped in the middle of whatever it does, it cannot complain about the disk either.
      child.process.kill('SIGSTOP')
      disk.losePower()
      child.process.kill('SIGKILL')
      await child.ended().catch(() => undefined)
      await disk.unmount({ lazy: true })
      for (const digest of lines.split('\n').slice(0, -1)) acknowledged.add(digest)

      await disk.mount()
      {
        using metadata = openMetadata(openRootDirectory(root))
        const content = openContent({ root, metadata })
        for await (const problem of content.verify()) assert.equal(problem.severity, 'garbage', `${problem.path} is ${problem.state}`)
        const stored = new Set<string>()
        for await (const blob of content.list()) stored.add(blob.digest)
        assert.deepEqual(
          [...acknowledged].filter(digest => !stored.has(digest)),
          [],
        )
      }
      await disk.unmount()
    }
    t.diagnostic(`${acknowledged.size} blobs acknowledged before 4 power losses`)
    assert.ok(acknowledged.size >= 4)
  },
)
