import assert from 'node:assert/strict'
import { constants, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { close, CURRENT_DIRECTORY, O_PATH, openAt, openBeneath, statFd } from './index.ts'

const scratch = mkdtempSync(join(tmpdir(), 'strata-beneath-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

mkdirSync(join(scratch, 'root/a/b'), { recursive: true })
mkdirSync(join(scratch, 'outside'))
writeFileSync(join(scratch, 'root/a/b/file'), 'file')
writeFileSync(join(scratch, 'outside/file'), 'outside')
symlinkSync('a', join(scratch, 'root/to-a'))
symlinkSync('b/file', join(scratch, 'root/a/to-file'))
symlinkSync('../outside', join(scratch, 'root/out'))
symlinkSync('/etc', join(scratch, 'root/absolute'))

const root = openAt(CURRENT_DIRECTORY, join(scratch, 'root'), O_PATH | constants.O_DIRECTORY)
after(() => close(root))

function typeOf(path: string, flags: number = constants.O_RDONLY): string {
  const fd = openBeneath(root, path, flags)
  try {
    return statFd(fd).type
  } finally {
    close(fd)
  }
}

test('openBeneath() opens exactly what a path below names', () => {
  assert.deepEqual(
    ['', 'a', 'a/b', 'a/b/file'].map(path => typeOf(path)),
    ['directory', 'directory', 'directory', 'file'],
  )
  assert.equal(typeOf('a/../a/b'), 'directory')
  assert.throws(() => typeOf('a/none'), { code: 'ENOENT' })
})

test('hostile #1, #2: openBeneath() follows no link, whether it leads out or stays inside, in the middle or at the end', () => {
  for (const flags of [constants.O_RDONLY, O_PATH, O_PATH | constants.O_DIRECTORY]) {
    for (const path of ['to-a/b', 'to-a/b/file', 'out/file', 'absolute/passwd', 'a/../to-a/b'])
      assert.throws(() => typeOf(path, flags), { code: 'ELOOP' }, path)
  }
  for (const path of ['to-a', 'a/to-file', 'out', 'absolute']) assert.throws(() => typeOf(path), { code: 'ELOOP' }, path)
  // A link itself can be held, when nothing else is asked for.
  assert.equal(typeOf('out', O_PATH | constants.O_NOFOLLOW), 'symlink')
})

test('hostile #1, #48: openBeneath() goes neither above its directory nor to the root of the machine', () => {
  for (const path of ['..', '../outside/file', 'a/../../outside', '/', '/etc/passwd', 'a/b/../../../outside/file'])
    assert.throws(() => typeOf(path), { code: 'EXDEV' }, path)
})

test('hostile #84: openBeneath() follows no link of /proc', () => {
  const proc = openAt(CURRENT_DIRECTORY, '/proc/self', O_PATH | constants.O_DIRECTORY)
  try {
    for (const path of ['root/etc', 'cwd', `fd/${root}/a`, 'exe'])
      assert.throws(() => close(openBeneath(proc, path, constants.O_RDONLY)), { code: 'ELOOP' }, path)
  } finally {
    close(proc)
  }
})
