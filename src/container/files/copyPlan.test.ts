import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CopySource, planCopy, readSource } from './copyPlan.ts'

const file: CopySource = { name: 's', isDirectory: false, contentsOnly: false }
const directory: CopySource = { name: 's', isDirectory: true, contentsOnly: false }

// docs.docker.com, "docker container cp", "Description".
test('planCopy() is the documented table', () => {
  const to = (text: string, type: 'directory' | 'other' | 'absent') => ({ text, path: text.replace(/(?!^)\/$/, ''), type })
  assert.deepEqual(planCopy(file, to('/d/new', 'absent')), { directory: '/d', name: 'new' })
  assert.throws(() => planCopy(file, to('/d/new/', 'absent')), { code: 'STRATA_NO_TARGET_DIRECTORY' })
  assert.deepEqual(planCopy(file, to('/d/old', 'other')), { directory: '/d', name: 'old' })
  assert.throws(() => planCopy(file, to('/d/old/', 'other')), { code: 'STRATA_INVALID_COPY' })
  assert.deepEqual(planCopy(file, to('/d', 'directory')), { directory: '/d', name: 's' })
  assert.deepEqual(planCopy(directory, to('/d/new', 'absent')), { directory: '/d', name: 'new' })
  assert.deepEqual(planCopy(directory, to('/d/new/', 'absent')), { directory: '/d', name: 'new' })
  assert.throws(() => planCopy(directory, to('/d/old', 'other')), { code: 'STRATA_INVALID_COPY' })
  assert.deepEqual(planCopy(directory, to('/d', 'directory')), { directory: '/d', name: 's' })
  const contents = { ...directory, contentsOnly: true }
  assert.deepEqual(planCopy(contents, to('/d', 'directory')), { directory: '/d', name: undefined })
  assert.deepEqual(planCopy(contents, to('/d/new', 'absent')), { directory: '/d', name: 'new' })
})

test('readSource() tells content, directories and names apart', () => {
  assert.deepEqual(readSource('/a/b'), { contentsOnly: false, wantsDirectory: false, name: 'b' })
  assert.deepEqual(readSource('/a/b/'), { contentsOnly: false, wantsDirectory: true, name: 'b' })
  assert.deepEqual(readSource('a/b/.'), { contentsOnly: true, wantsDirectory: true, name: 'b' })
  assert.deepEqual(readSource('/'), { contentsOnly: true, wantsDirectory: true, name: '' })
  assert.equal(readSource('/a/../..').name, '')
})
