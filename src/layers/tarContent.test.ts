import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LayerNode } from '../layer/index.ts'
import { TarContents } from './tarContent.ts'

const scratch = mkdtempSync(join(tmpdir(), 'strata-tar-content-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

function descriptorsOf(path: string): number {
  return readdirSync('/proc/self/fd').filter(fd => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path
    } catch {
      return false
    }
  }).length
}

test('TarContents reads all files of a tar through one descriptor, which goes when nobody reads any more', async () => {
  const path = join(scratch, 'layer.tar')
  const bytes = Buffer.from(Array.from({ length: 600_000 }, (_, at) => at % 251))
  writeFileSync(path, bytes)
  const tars = new TarContents()
  const read = async (node: Pick<LayerNode, 'dataOffset' | 'size' | 'sparse'>, range = {}): Promise<Buffer> =>
    Buffer.concat(await Array.fromAsync(tars.read(path, node as LayerNode, range)))
  for (let at = 0; at < 100; at += 1)
    assert.deepEqual(await read({ dataOffset: at * 512, size: 700 }), bytes.subarray(at * 512, at * 512 + 700))
  assert.deepEqual(await read({ dataOffset: 512, size: 500_000 }, { start: 10, end: 400_000 }), bytes.subarray(522, 400_512))
  const holes = { dataOffset: 1024, size: 3000, sparse: [{ offset: 1000, size: 500 }] }
  assert.deepEqual(await read(holes), Buffer.concat([Buffer.alloc(1000), bytes.subarray(1024, 1524), Buffer.alloc(1500)]))
  assert.equal(descriptorsOf(path), 1)
  for (let tries = 0; descriptorsOf(path) > 0 && tries < 50; tries += 1) await sleep(100)
  assert.equal(descriptorsOf(path), 0)
})
