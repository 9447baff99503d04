import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { test } from 'node:test'
import { isAlive, thisOwner } from './processOwner.ts'

const withPart = (index: number, text: string): string => thisOwner().split(' ').with(index, text).join(' ')

test('isAlive() knows this process, and no other one with its pid', () => {
  assert.equal(isAlive(thisOwner()), true)
  assert.equal(isAlive(withPart(3, '1')), false, 'started at another time')
  assert.equal(isAlive(withPart(0, 'another boot')), false, 'of another boot')
  assert.equal(isAlive(withPart(2, '4194303')), false, 'no such pid')
  assert.equal(isAlive('gone'), false)
})

test('isAlive() believes in processes that cannot be seen from here', () => {
  assert.equal(isAlive(withPart(1, 'pid:[1]').replace(` ${process.pid} `, ' 4194303 ')), true)
})

test('isAlive() is false for a process that has ended and only waits to be reaped', async () => {
  // The shell becomes a program that never reaps the child it started; the child ends with its input.
  const child = spawn('sh', ['-c', 'cat <&3 >/dev/null & echo $! $(cut -d" " -f22 /proc/$!/stat); exec sleep 30 3<&-'], {
    stdio: ['ignore', 'pipe', 'ignore', 'pipe'],
  })
  try {
    const [line] = (await once(child.stdout!, 'data')) as [Buffer]
    const [pid = '', startedAt = ''] = line.toString().trim().split(' ')
    const owner = withPart(2, pid).split(' ').with(3, startedAt).join(' ')
    assert.equal(isAlive(owner), true)
    ;(child.stdio[3] as Writable).end()
    while (isAlive(owner)) await new Promise(resolve => setTimeout(resolve, 10))
  } finally {
    child.kill('SIGKILL')
  }
})
