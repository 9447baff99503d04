import assert from 'node:assert/strict'
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { GrowingFile, readAtMost } from './index.ts'

const scratch = mkdtempSync(join(tmpdir(), 'strata-growing-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

test('GrowingFile gives its reader what was written, as it is written', async () => {
  const path = join(scratch, 'a')
  const file = new GrowingFile(path)
  const read = readAtMost(file.bytes(), 100)
  for (const [text, size] of [
    ['one ', 4],
    ['two ', 8],
    ['three', 13],
  ] as const) {
    appendFileSync(path, text)
    file.grow(size)
    await nextTurn()
  }
  file.end()
  assert.equal((await read).toString(), 'one two three')
})

test('GrowingFile.sizes() skips what nobody waited for, and ends with what the writer failed with', async () => {
  const file = new GrowingFile('unread')
  file.grow(1)
  file.grow(2)
  const sizes = file.sizes()
  assert.deepEqual(await sizes.next(), { done: false, value: 2 })
  const next = sizes.next()
  file.fail(new Error('the disk is full'))
  await assert.rejects(next, { message: 'the disk is full' })
})

test('GrowingFile.grow() throws once the reader has stopped', async () => {
  const file = new GrowingFile('unread')
  file.grow(1)
  for await (const size of file.sizes()) {
    assert.equal(size, 1)
    break
  }
  assert.throws(() => file.grow(2), { code: 'STRATA_CANCELLED' })
})
