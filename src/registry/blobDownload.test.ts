import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readAtMost, streamOf } from '../base/index.ts'
import { downloadBlob } from './blobDownload.ts'

test('a download that is stopped says so, and blames nobody for the bytes that do not come any more', async () => {
  const stop = new AbortController()
  let blamed = 0
  async function* endingEarly(): AsyncGenerator<Uint8Array> {
    yield* streamOf(Buffer.alloc(100))
    stop.abort()
  }
  const bytes = await downloadBlob({
    name: 'it',
    start: 0,
    end: 200,
    open: async () => endingEarly(),
    openRange: undefined,
    onShort: () => (blamed += 1),
    signal: stop.signal,
  })
  await assert.rejects(readAtMost(bytes, 1000), { name: 'AbortError' })
  assert.equal(blamed, 0)
})
