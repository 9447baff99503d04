import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, utimesSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { collect, Leases, openMetadata, openRootDirectory, Trash } from '../../src/metadata/index.ts'
import { openContent } from '../../src/content/index.ts'
import { digestOf } from '../../src/oci/index.ts'
import { startProcess, testBytes } from '../../src/testing/contentStoreProcess.ts'

const ROUNDS = 20
const SIZES = [100, 5_000, 100_000, 600_000]

test('hostile #68: put() that is killed at any moment leaves the blob whole or not at all, and loses none that it acknowledged', async t => {
  const root = mkdtempSync(join(tmpdir(), 'strata-crash-'))
  try {
    using metadata = openMetadata(openRootDirectory(root))
    const content = openContent({ root, metadata })
    let acknowledged = 0
    const garbage = new Set<string>()
    for (let round = 0; round < ROUNDS; round += 1) {
      const blobs = Array.from({ length: 40 }, (_, n) => {
        const fill = round * 1000 + n
        const bytes = testBytes(fill, SIZES[n % SIZES.length]!)
        return { fill, target: { mediaType: 'application/octet-stream', digest: digestOf(bytes), size: bytes.length } }
      })
      const child = startProcess(new URL('diskStoreModule.ts', import.meta.url), root, { action: 'put', blobs })
      let lines = ''
      child.process.stdout.on('data', (chunk: Buffer) => {
        lines += chunk.toString()
      })
      await child.nextLine()
      await sleep(Math.random() * 150)
      child.process.kill('SIGKILL')
      await child.ended().catch(() => undefined)

      for (const digest of lines.split('\n').slice(0, -1)) {
        const { target } = blobs.find(blob => blob.target.digest === digest)!
        assert.equal(await content.has(target), true)
        acknowledged += 1
      }
      for await (const problem of content.verify()) {
        assert.equal(problem.severity, 'garbage', `${problem.path} is ${problem.state}`)
        garbage.add(problem.path)
      }
    }
    t.diagnostic(`${acknowledged} blobs acknowledged before ${ROUNDS} kills; ${garbage.size} files without a record`)
    assert.ok(acknowledged > ROUNDS)

    const longAgo = new Date(Date.now() - 25 * 60 * 60 * 1000)
    for (const name of readdirSync(join(root, 'ingest'))) utimesSync(join(root, 'ingest', name), longAgo, longAgo)
    await collect({ metadata, leases: new Leases(metadata), kinds: content.collectables(), roots: () => [] })
    await new Trash(root).empty()
    for (const directory of ['blobs/sha256', 'ingest', 'trash']) assert.deepEqual(readdirSync(join(root, directory)), [], directory)
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
})
