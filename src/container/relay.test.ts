import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PassThrough, Writable } from 'node:stream'
import { writeTo } from './relay.ts'

test('writeTo() leaves no listeners on a stream that drains again and again', async () => {
  const slow = new Writable({ highWaterMark: 1, write: (_chunk, _encoding, done) => void setImmediate(done) })
  for (let count = 0; count < 20; count += 1) await writeTo(slow, Buffer.from('chunk'))
  assert.deepEqual(
    ['drain', 'close', 'error'].map(event => slow.listenerCount(event)),
    [0, 0, 0],
  )
})

test('writeTo() waits no longer for a reader that goes away', async () => {
  const full = new PassThrough({ highWaterMark: 1 })
  const written = writeTo(full, Buffer.alloc(10))
  full.destroy()
  await written
})
