import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { ChunkQueue } from './index.ts'

test('ChunkQueue gives chunks in order, then its end or its error, also to who waits before they come', async () => {
  const queue = new ChunkQueue()
  const first = queue.next()
  queue.push(Buffer.from('a'))
  queue.push(Buffer.from('bc'))
  assert.equal(String(await first), 'a')
  assert.equal(queue.bytes, 2)
  queue.end()
  queue.end({ error: new Error('too late') })
  assert.equal(String(await queue.next()), 'bc')
  assert.equal(await queue.next(), undefined)
  const broken = new ChunkQueue()
  const waiting = broken.next()
  broken.end({ error: new Error('broken') })
  await assert.rejects(waiting, { message: 'broken' })
  await assert.rejects(broken.next(), { message: 'broken' })
})

test('ChunkQueue keeps nothing that was taken, also when it is never empty', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const queue = new ChunkQueue()
  queue.push(new Uint8Array(65_536))
  for (let n = 0; n < 2000; n += 1) {
    queue.push(new Uint8Array(65_536))
    await queue.next()
  }
  collect()
  assert.equal(queue.bytes, 65_536)
  const { arrayBuffers } = process.memoryUsage()
  assert.ok(arrayBuffers < 32 * 1024 * 1024, `${arrayBuffers} bytes are kept of 131 MB`)
})
