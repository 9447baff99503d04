import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync, readSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { describe, test } from 'node:test'
import { ProcessOutput } from './processOutput.ts'

/** A stream that takes its time, and all that it was given. */
function slowStream(): { readonly stream: Writable; readonly text: () => string } {
  let text = ''
  const stream = new Writable({
    highWaterMark: 1,
    write(chunk: Buffer, _, done) {
      setTimeout(() => {
        text += chunk.toString()
        done()
      }, 50)
    },
  })
  return { stream, text: () => text }
}

describe('ProcessOutput', () => {
  test('written() resolves only when a slow reader has everything', async () => {
    const slow = slowStream()
    const output = new ProcessOutput(-1, () => slow.stream)
    assert.equal(output.stream, slow.stream)
    output.write('one ')
    output.write('two')
    await output.written()
    assert.equal(slow.text(), 'one two')
  })
  test('write() shows what steers a terminal on a terminal, and is byte-true elsewhere', async () => {
    for (const isTTY of [true, false]) {
      const { stream, text } = slowStream()
      const output = new ProcessOutput(-1, () => Object.assign(stream, { isTTY }))
      output.write('\u001b[31mred\tx\n')
      output.write('\u009b31m')
      await output.written()
      assert.equal(text(), isTTY ? '\\u001b[31mred\tx\n\\u009b31m' : '\u001b[31mred\tx\n\u009b31m')
    }
  })
  test('write() hands what a full non-blocking pipe does not take to the stream, in order', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'strata-output-'))
    const fifo = join(directory, 'fifo')
    execFileSync('mkfifo', [fifo])
    const fd = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK)
    try {
      const slow = slowStream()
      const output = new ProcessOutput(fd, () => slow.stream)
      const text = 'é'.repeat(40_000)
      output.write(text)
      output.write('after')
      await output.written()
      const taken = Buffer.alloc(100_000)
      const length = readSync(fd, taken)
      assert.ok(length > 0 && length < 80_000)
      assert.equal(taken.toString('utf8', 0, length) + slow.text(), `${text}after`)
    } finally {
      closeSync(fd)
      await rm(directory, { recursive: true })
    }
  })
})
