import assert from 'node:assert/strict'
import { test } from 'node:test'
import { strata } from '../../test/cli/strataInTest.ts'
import { StrataError, streamOf } from '../base/index.ts'
import type { Engine, ListedFile } from '../engine/index.ts'

const bytes = (text: string): AsyncIterable<Uint8Array> => streamOf(Buffer.from(text))
const asked: unknown[] = []

const READ: Partial<Engine> = {
  async readFile(reference, path, { platform, remote } = {}) {
    asked.push([reference, path, platform, remote])
    if (path === '/nope') throw new StrataError('notFound', 'STRATA_NO_SUCH_FILE', 'Cannot find it: no such file or directory')
    if (path === '/stop') throw new StrataError('cancelled', 'STRATA_CANCELLED', 'interrupted by SIGINT')
    return bytes(`${reference}${path}\n`)
  },
}

test('strata cat prints files one after the other, and goes on after one that is not there', async () => {
  asked.length = 0
  const ran = await strata('cat --platform linux/arm64 a:1:/x b:/nope localhost:5000/c:/y', READ)
  assert.deepEqual([ran.status, ran.stdout], [1, 'a:1/x\nlocalhost:5000/c/y\n'])
  assert.equal(ran.stderr, 'strata: Cannot find it: no such file or directory\n')
  assert.deepEqual(asked, [
    ['a:1', '/x', 'linux/arm64', false],
    ['b', '/nope', 'linux/arm64', false],
    ['localhost:5000/c', '/y', 'linux/arm64', false],
  ])
})

test('strata cat stops where it is interrupted, and asks nothing for a path that is none', async () => {
  asked.length = 0
  const stopped = await strata('cat --remote a:/stop a:/x', READ)
  assert.deepEqual([stopped.status, stopped.stdout, asked.length], [130, '', 1])
  const wrong = await strata('cat a:/x debian', READ)
  assert.deepEqual([wrong.status, wrong.stdout, asked.length], [1, '', 1])
  assert.match(wrong.stderr, /^strata: Cannot parse path in an image "debian": .*debian:12:\/etc\/os-release\n$/)
})

const FILE: ListedFile = {
  name: 'f',
  type: 'file',
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 7,
  links: 1,
  modifiedAt: { seconds: 0, nanoseconds: 0 },
}

test('strata ls asks for what its flags say, and shows a symlink itself with -l alone', async () => {
  const LIST: Partial<Engine> = {
    async *listDirectory(reference, path, { recursive, remote, showsLink } = {}) {
      asked.push([reference, path, recursive, remote, showsLink])
      yield { directory: '/', files: [FILE] }
      if (recursive === true) yield { directory: '/d', files: [] }
    },
  }
  for (const [line, expected, printed] of [
    ['ls a', ['a', '/', false, false, false], 'f\n'],
    ['ls --remote a etc', ['a', 'etc', false, true, false], 'f\n'],
    ['ls -l a /etc', ['a', '/etc', false, false, true], '-rw-r--r-- 1 0 0 7 1970-01-01 00:00 f\n'],
    ['ls -l a /etc/', ['a', '/etc/', false, false, false], '-rw-r--r-- 1 0 0 7 1970-01-01 00:00 f\n'],
    ['ls -R a', ['a', '/', true, false, false], '/:\nf\n\n/d:\n'],
  ] as const) {
    asked.length = 0
    const ran = await strata(line, LIST)
    assert.deepEqual([ran.status, ran.stdout, ran.stderr, asked], [0, printed, '', [expected]], line)
  }
})

test('strata image inspect --remote asks the registry', async () => {
  const inspected: unknown[] = []
  const inspectImage: Engine['inspectImage'] = async (name, { remote, platform } = {}) => {
    inspected.push([name, remote, platform])
    return { Id: 'sha256:1' } as Awaited<ReturnType<Engine['inspectImage']>>
  }
  await strata('image inspect --remote --platform linux/arm64 a:1', { inspectImage })
  await strata('image inspect a:1', { inspectImage })
  assert.deepEqual(inspected, [
    ['a:1', true, 'linux/arm64'],
    ['a:1', false, undefined],
  ])
})
