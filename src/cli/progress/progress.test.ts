import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { stripVTControlCharacters } from 'node:util'
import { test } from 'node:test'
import { withProgress } from './progress.ts'
import { formatProgress } from './terminalLines.ts'

function output(terminal: boolean, size = { columns: 120, rows: 24 }): { readonly stream: PassThrough; readonly text: () => string } {
  const chunks: Buffer[] = []
  const stream = new PassThrough().on('data', (chunk: Buffer) => chunks.push(chunk))
  if (terminal) Object.assign(stream, { isTTY: true, ...size })
  return { stream, text: () => Buffer.concat(chunks).toString() }
}

test('formatProgress() draws docker’s bar where the terminal is wide enough', () => {
  const half = { id: '4f4fb700ef54', status: 'Downloading', current: 13_750_000, total: 27_500_000 }
  assert.equal(formatProgress(half, 120), `4f4fb700ef54: Downloading [${'='.repeat(25)}>${' '.repeat(24)}]  13.75MB/27.5MB`)
  assert.equal(formatProgress(half, 80), '4f4fb700ef54: Downloading  13.75MB/27.5MB')
  assert.equal(formatProgress({ ...half, current: 27_500_000 }, 120), `4f4fb700ef54: Downloading [${'='.repeat(50)}]   27.5MB/27.5MB`)
  assert.equal(formatProgress({ id: 'a', status: 'Extracting', current: 1_048_576 }, 120), 'a: Extracting  1.049MB')
  assert.equal(formatProgress({ id: 'a', status: 'Pull complete' }, 120), 'a: Pull complete')
})

test('withProgress() keeps a line for each thing on a terminal, in order, and lines for people above', async () => {
  const { stream, text } = output(true)
  await withProgress(stream, false, async onProgress => {
    onProgress({ id: '', status: "Unable to find image 'a:1' locally" })
    onProgress({ id: '1', status: 'Pulling from a' })
    onProgress({ id: 'x', status: 'Downloading', current: 1, total: 2 })
    onProgress({ id: 'y', status: 'Waiting' })
    onProgress({ id: 'x', status: 'Pull complete' })
  })
  const lines = stripVTControlCharacters(text()).split('\n')
  assert.deepEqual(lines, ["Unable to find image 'a:1' locally", '1: Pulling from a', 'x: Pull complete', 'y: Waiting', ''])
})

test('withProgress() prints each status once where there is no terminal, and nothing when quiet', async () => {
  for (const quiet of [false, true]) {
    const { stream, text } = output(false)
    await withProgress(stream, quiet, async onProgress => {
      onProgress({ id: 'x', status: 'Downloading', current: 1, total: 2 })
      onProgress({ id: 'x', status: 'Pull complete' })
      onProgress({ id: 'x', status: 'Pull complete' })
    })
    assert.equal(text(), quiet ? '' : 'x: Pull complete\n')
  }
})

test('withProgress() takes a terminal without a size for one whose size is not known', async () => {
  const { stream, text } = output(true, { columns: 0, rows: 0 })
  await withProgress(stream, false, async onProgress => onProgress({ id: 'x', status: 'Downloading', current: 1, total: 2 }))
  assert.equal(stripVTControlCharacters(text()), 'x: Downloading       1B/2B\n')
})

test('what strangers have written steers no terminal by way of the progress', async () => {
  for (const terminal of [true, false]) {
    const { stream, text } = output(terminal)
    await withProgress(stream, false, async onProgress => {
      onProgress({ id: '', status: 'not kept: \u001b]0;x\u0007\nFAKE' })
    })
    assert.equal(text(), 'not kept: \\u001b]0;x\\u0007\\u000aFAKE\n')
  }
})
