import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import * as fc from 'fast-check'
import { ConfinedRoot } from '../host/index.ts'
import { type ResolvedUser, resolveUser } from './user.ts'

const PASSWD = `root:x:0:0:root:/root:/bin/sh
# a comment
daemon:x:1:1::/usr/sbin:/usr/sbin/nologin\r
app:x:1000:1001:The App:/srv/app:/bin/sh
1234:x:77:78::/numeric:
homeless:x:50:50:::
`
const GROUP = `root:x:0:
staff:x:50:app,daemon
www:x:33:app
1002:x:9:
`

interface Image {
  readonly path: string
  readonly resolve: (text: string, groups?: readonly string[]) => ResolvedUser
}

async function imageWith(t: TestContext, files: { readonly passwd?: string; readonly group?: string }): Promise<Image> {
  const path = await mkdtemp(join(tmpdir(), 'strata-user-'))
  t.after(() => rm(path, { recursive: true }))
  await mkdir(join(path, 'etc'))
  for (const [name, text] of Object.entries(files)) await writeFile(join(path, 'etc', name), text)
  const resolve = (text: string, groups: readonly string[] = []): ResolvedUser => {
    using root = new ConfinedRoot(path)
    return resolveUser(root, text, { groups })
  }
  return { path, resolve }
}

test('resolveUser() finds users and groups by name and by number', async t => {
  const { resolve } = await imageWith(t, { passwd: PASSWD, group: GROUP })
  assert.deepEqual(resolve(''), { uid: 0, gid: 0, additionalGids: [], home: '/root', name: 'root' })
  assert.deepEqual(resolve('app'), { uid: 1000, gid: 1001, additionalGids: [50, 33], home: '/srv/app', name: 'app' })
  assert.deepEqual(resolve('1000'), resolve('app'))
  assert.deepEqual(resolve('app:www'), { uid: 1000, gid: 33, additionalGids: [], home: '/srv/app', name: 'app' })
  assert.deepEqual(resolve('app:4242').gid, 4242)
  assert.deepEqual(resolve(':www'), { uid: 0, gid: 33, additionalGids: [], home: '/root', name: 'root' })
  assert.deepEqual(resolve('5555'), { uid: 5555, gid: 0, additionalGids: [], home: '/' })
  assert.equal(resolve('daemon').home, '/usr/sbin')
  assert.equal(resolve('homeless').home, '/')
})

test('resolveUser() takes a name before a number', async t => {
  const { resolve } = await imageWith(t, { passwd: PASSWD, group: GROUP })
  assert.equal(resolve('1234').uid, 77)
  assert.equal(resolve('app:1002').gid, 9)
})

test('resolveUser() adds the groups that are asked for', async t => {
  const { resolve } = await imageWith(t, { passwd: PASSWD, group: GROUP })
  assert.deepEqual(resolve('app', ['www', '4242']).additionalGids, [50, 33, 4242])
  assert.throws(() => resolve('app', ['nobodies']), { code: 'STRATA_UNKNOWN_GROUP' })
})

test('resolveUser() says what the image has not', async t => {
  const { resolve } = await imageWith(t, { passwd: PASSWD, group: GROUP })
  assert.throws(() => resolve('nobody'), {
    code: 'STRATA_UNKNOWN_USER',
    message: 'Cannot find user "nobody": no matching entries in /etc/passwd of the image',
  })
  assert.throws(() => resolve('app:nope'), { code: 'STRATA_UNKNOWN_GROUP' })
})

test('resolveUser() needs no files for numbers', async t => {
  const { resolve } = await imageWith(t, {})
  assert.deepEqual(resolve('12:13'), { uid: 12, gid: 13, additionalGids: [], home: '/' })
  assert.deepEqual(resolve(''), { uid: 0, gid: 0, additionalGids: [], home: '/' })
  assert.throws(() => resolve('app'), { code: 'STRATA_UNKNOWN_USER' })
})

test('hostile #91: an id that would wrap around is refused, given or in a file', async t => {
  const { resolve } = await imageWith(t, {
    passwd: 'big:x:4294967296:0::/:\ngid:x:1:2147483648::/:\n',
    group: 'big:x:99999999999:\nmember:x:4294967295:root2\n',
  })
  for (const text of ['2147483648', '4294967296', '0:4294967296', 'big', 'gid', '0:big', '99999999999999999999999']) {
    assert.throws(() => resolve(text), { code: 'STRATA_ID_OUT_OF_RANGE' }, text)
  }
  for (const text of ['-1', '+0', '0x0', '1e0', ' 0']) assert.throws(() => resolve(text), { code: 'STRATA_UNKNOWN_USER' }, text)
})

test('hostile #94: a passwd file without end is refused before it fills the memory', async t => {
  const { path, resolve } = await imageWith(t, { passwd: '' })
  const limit = 16 * 1024 * 1024
  for (const size of [2 ** 40, limit + 1]) {
    await truncate(join(path, 'etc/passwd'), size)
    assert.throws(() => resolve('app'), { code: 'STRATA_TOO_LARGE' })
  }
  await truncate(join(path, 'etc/passwd'), limit)
  assert.throws(() => resolve('app'), { code: 'STRATA_UNKNOWN_USER' })
})

test('hostile #94: a FIFO, a device or a directory in the place of a file blocks nobody', async t => {
  const { path, resolve } = await imageWith(t, {})
  execFileSync('mkfifo', [join(path, 'etc/passwd')])
  await mkdir(join(path, 'etc/group'))
  assert.equal(resolve('7').uid, 7)
  assert.throws(() => resolve('app'), { code: 'STRATA_UNKNOWN_USER' })
})

test('hostile #79: a link of the image that points out of it is resolved inside', async t => {
  const { path, resolve } = await imageWith(t, {})
  await symlink('/etc/passwd', join(path, 'etc/passwd'))
  assert.throws(() => resolve('daemon'), { code: 'STRATA_UNKNOWN_USER' })
  await symlink('../../../../../../etc/group', join(path, 'etc/group'))
  assert.throws(() => resolve('0:daemon'), { code: 'STRATA_UNKNOWN_GROUP' })
})

test('resolveUser() makes no id from any text but one in range, and fails with a clear error', async t => {
  const { resolve } = await imageWith(t, { passwd: PASSWD, group: GROUP })
  fc.assert(
    fc.property(fc.string(), text => {
      try {
        const { uid, gid } = resolve(text)
        for (const id of [uid, gid]) assert.ok(Number.isInteger(id) && id >= 0 && id < 2 ** 31)
      } catch (error) {
        assert.match((error as { code: string }).code, /^STRATA_(?:UNKNOWN_USER|UNKNOWN_GROUP|ID_OUT_OF_RANGE)$/)
      }
    }),
  )
})
