import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { StrataError } from '../base/index.ts'
import { openMetadata } from './index.ts'
import { withReserve } from './reserve.ts'

const scratch = mkdtempSync(join(tmpdir(), 'strata-reserve-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

const RESERVE = 2 * 1024 * 1024
const sizeOf = (path: string): number | undefined => statSync(`${path}-reserve`, { throwIfNoEntry: false })?.size

test('hostile #69: a reserve that power loss has emptied is taken again by the next open', () => {
  const path = join(scratch, 'emptied.db')
  openMetadata(path).close()
  assert.equal(sizeOf(path), RESERVE)
  truncateSync(`${path}-reserve`, 0)
  openMetadata(path).close()
  assert.equal(sizeOf(path), RESERVE)
})

test('withReserve() gives the reserve up for work that a full disk stops, once, and for nothing else', () => {
  const path = join(scratch, 'full.db')
  using metadata = openMetadata(path)
  const full = new StrataError('resourceExhausted', 'STRATA_DISK_FULL', 'Cannot write: no space left on device')
  let tries = 0
  const after = withReserve(metadata, () => {
    tries += 1
    if (tries === 1) throw full
    return sizeOf(path)
  })
  assert.deepEqual([tries, after], [2, undefined])
  // There is none any more, so it is not tried again.
  assert.throws(
    () =>
      withReserve(metadata, () => {
        tries += 1
        throw full
      }),
    full,
  )
  assert.equal(tries, 3)
})
