import assert from 'node:assert/strict'
import { mkdtempSync, openSync, closeSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { deliverFile, wouldReplace } from './deliverFile.ts'
import { DURABLE } from './durability.ts'
import { streamOf } from './streams.ts'

function directoryFor(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'strata-deliver-'))
  t.after(() => rmSync(directory, { recursive: true }))
  return directory
}

const deliver = (path: string): Promise<void> => deliverFile(path, async () => streamOf(Buffer.from('new')), DURABLE)

test('deliverFile() adds to an open file that has a name from the kernel, as the shell’s >> wants', async t => {
  const path = join(directoryFor(t), 'log')
  writeFileSync(path, 'before ')
  const fd = openSync(path, 'a')
  try {
    assert.equal(await wouldReplace(`/proc/self/fd/${fd}`), false)
    await deliver(`/proc/self/fd/${fd}`)
  } finally {
    closeSync(fd)
  }
  assert.equal(readFileSync(path, 'utf8'), 'before new')
})

test('deliverFile() replaces a regular file, also behind a link; wouldReplace() tells that before, where it holds something', async t => {
  const directory = directoryFor(t)
  const [file, link, empty, none] = ['file', 'link', 'empty', 'none'].map(name => join(directory, name)) as [string, string, string, string]
  writeFileSync(file, 'old')
  writeFileSync(empty, '')
  symlinkSync(file, link)
  assert.deepEqual(await Promise.all([file, link, empty, none, '/dev/null'].map(wouldReplace)), [true, true, false, false, false])
  await deliver(link)
  await deliver(empty)
  await deliver(none)
  assert.deepEqual(
    [file, link, empty, none].map(path => readFileSync(path, 'utf8')),
    ['new', 'new', 'new', 'new'],
  )
  assert.equal(readdirSync(directory).length, 4)
  await assert.rejects(wouldReplace(directory), { code: 'STRATA_EISDIR' })
})
