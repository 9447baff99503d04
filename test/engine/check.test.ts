import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { strata } from '../support/commands.ts'
import { tarOf } from '../support/tars.ts'

test('hostile #72: system check finds a byte that changed in an image, and is content when it is back', async () => {
  const scratch = await mkdtemp(join(tmpdir(), 'strata-check-'))
  const check = () => strata(['--root', join(scratch, 'root'), 'system', 'check'])
  try {
    await writeFile(join(scratch, 'image.tar'), tarOf({ 'etc/motd': 'as it was stored\n' }))
    assert.equal((await strata(['--root', join(scratch, 'root'), 'import', join(scratch, 'image.tar'), 'app'])).code, 0)
    const whole = await check()
    assert.deepEqual([whole.code, whole.stdout], [0, 'Every blob and every layer is as it was stored.\n'])

    // In a tree as root, in a tar otherwise.
    const paths = await readdir(scratch, { recursive: true })
    const path = paths.find(each => each.endsWith('/etc/motd')) ?? paths.find(each => each.endsWith('/layer.tar'))
    const { mtime: modifiedAt } = await stat(join(scratch, path!))
    const bytes = await readFile(join(scratch, path!), 'latin1')
    await writeFile(join(scratch, path!), bytes.replace('as it was', 'AS it was'), 'latin1')
    const damaged = await check()
    assert.equal(damaged.code, 1)
    assert.match(damaged.stdout, /^damage: [^\n]*sha256:[^\n]*\n/)

    await writeFile(join(scratch, path!), bytes, 'latin1')
    await utimes(join(scratch, path!), modifiedAt, modifiedAt)
    assert.equal((await check()).code, 0)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
})
