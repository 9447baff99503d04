import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { readLog } from '../runtime/index.ts'
import { ForegroundLog } from './foregroundLog.ts'

test('ForegroundLog.write() writes what readLog() reads: the bytes of each stream, in their order', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'strata-log-'))
  try {
    const chunk = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 40 }),
      fc.constant(Buffer.from('line\n\nlines\n')),
      fc.constant(Buffer.alloc(70_000, 'x')),
    )
    const writes = fc.array(fc.tuple(fc.constantFrom('stdout' as const, 'stderr' as const), chunk), { maxLength: 8 })
    let run = 0
    await fc.assert(
      fc.asyncProperty(writes, async pieces => {
        const path = join(directory, String((run += 1)))
        const log = new ForegroundLog(path, undefined)
        for (const [stream, bytes] of pieces) log.write(stream, bytes)
        const read = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] }
        for await (const { stream, bytes } of readLog(path)) read[stream].push(bytes)
        for (const stream of ['stdout', 'stderr'] as const) {
          assert.deepEqual(Buffer.concat(read[stream]), Buffer.concat(pieces.filter(([of]) => of === stream).map(([, bytes]) => bytes)))
        }
      }),
      { numRuns: 60 },
    )
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('ForegroundLog.write() begins anew when the file would become too large', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'strata-log-'))
  try {
    const path = join(directory, 'log')
    const log = new ForegroundLog(path, 200)
    for (let line = 0; line < 20; line += 1) log.write('stdout', Buffer.from(`line ${line}\n`))
    const lines: string[] = []
    for await (const { bytes } of readLog(path)) lines.push(bytes.toString())
    assert.ok(lines.length < 5)
    assert.equal(lines.at(-1), 'line 19\n')
  } finally {
    rmSync(directory, { recursive: true })
  }
})
