import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, mock, test } from 'node:test'
import { openMetadata } from '../metadata/index.ts'
import { digestOf } from '../oci/index.ts'
import { UploadRecords } from './uploadRecords.ts'

const scratch = mkdtempSync(join(tmpdir(), 'strata-uploads-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

const BLOB = digestOf(Buffer.from('blob'))
const OTHER = digestOf(Buffer.from('other'))
const PLACE = new URL('https://registry.example/v2/app/blobs/uploads/1?_state=x')

let databases = 0
const newPath = (): string => join(scratch, `${(databases += 1)}.db`)

/** Another process notes an upload, and is gone. */
function noteElsewhere(path: string): void {
  const modules = ['../metadata/index.ts', './uploadRecords.ts'].map(name => JSON.stringify(new URL(name, import.meta.url).href))
  const program = `
    const { openMetadata } = await import(${modules[0]})
    const { UploadRecords } = await import(${modules[1]})
    new UploadRecords(openMetadata(${JSON.stringify(path)}), 'host/app').set(${JSON.stringify(BLOB)}, new URL(${JSON.stringify(PLACE.href)}))`
  assert.equal(spawnSync(process.execPath, ['--input-type=module', '-e', program], { stdio: 'inherit' }).status, 0)
}

test('take() gives what a process that is gone was uploading, once, and only to who uploads the same to the same repository', () => {
  const path = newPath()
  using metadata = openMetadata(path)
  noteElsewhere(path)
  const uploads = new UploadRecords(metadata, 'host/app')
  assert.equal(new UploadRecords(metadata, 'host/else').take(BLOB), undefined)
  assert.equal(uploads.take(OTHER), undefined)
  assert.equal(uploads.take(BLOB)?.href, PLACE.href)
  assert.equal(uploads.take(BLOB), undefined, 'this process does it now')
})

test('take() gives what was given up, and nothing of what is under way or at its end', () => {
  using metadata = openMetadata(newPath())
  const uploads = new UploadRecords(metadata, 'host/app')
  uploads.set(BLOB, PLACE)
  assert.equal(uploads.take(BLOB), undefined)
  uploads.leave(BLOB)
  assert.equal(uploads.take(BLOB)?.href, PLACE.href)
  uploads.forget(BLOB)
  assert.equal(uploads.take(BLOB), undefined)
})

test('take() gives nothing that is older than a day', () => {
  using metadata = openMetadata(newPath())
  const uploads = new UploadRecords(metadata, 'host/app')
  uploads.set(BLOB, PLACE)
  uploads.leave(BLOB)
  mock.timers.enable({ apis: ['Date'], now: Date.now() + 25 * 60 * 60 * 1000 })
  try {
    assert.equal(uploads.take(BLOB), undefined)
  } finally {
    mock.timers.reset()
  }
})
