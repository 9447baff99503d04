import assert from 'node:assert/strict'
import { posix } from 'node:path'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { isStrataError } from '../base/index.ts'
import { resolvePath } from './resolvePath.ts'

/** A tree: a path is a directory, or a file, or a symlink to somewhere. */
type Tree = Readonly<Record<string, 'directory' | 'file' | { readonly link: string }>>

function resolve(tree: Tree, path: string, followsLast = true): Promise<string> {
  const find = async (at: string): Promise<{ type: 'directory' | 'file' | 'symlink'; linkTarget?: string } | undefined> => {
    assert.ok(!at.split('/').some(name => name === '..' || name === '.' || name === ''), `${at} is an exact path`)
    const node = Object.hasOwn(tree, at) ? tree[at]! : undefined
    return typeof node === 'object' ? { type: 'symlink', linkTarget: node.link } : node && { type: node }
  }
  return resolvePath(path, { find, followsLast }).then(place => place.path)
}

const TREE: Tree = {
  etc: 'directory',
  'etc/f': 'file',
  'etc/up': { link: '../../../usr/./lib//' },
  'etc/abs': { link: '/usr/lib/g' },
  usr: 'directory',
  'usr/lib': 'directory',
  'usr/lib/g': 'file',
  'usr/lib/self': { link: 'self' },
  'usr/lib/dangling': { link: 'nowhere' },
  lib: { link: 'usr/lib' },
  root: { link: '/' },
}

test('resolvePath() follows symlinks inside the image, and nothing leads out of it', async () => {
  for (const [path, expected] of [
    ['/', ''],
    ['', ''],
    ['.', ''],
    ['/..', ''],
    ['../../etc/f', 'etc/f'],
    ['/etc/./f', 'etc/f'],
    ['//etc//f', 'etc/f'],
    ['/lib/g', 'usr/lib/g'],
    ['/lib/', 'usr/lib'],
    ['/lib/..', 'usr'],
    ['/etc/up/g', 'usr/lib/g'],
    ['/etc/abs', 'usr/lib/g'],
    ['/root/root/etc/../etc/f', 'etc/f'],
  ] as const)
    assert.equal(await resolve(TREE, path), expected, path)
})

test('resolvePath() leaves a symlink at the end alone where that is asked for, unless a slash follows it', async () => {
  assert.equal(await resolve(TREE, '/lib', false), 'lib')
  assert.equal(await resolve(TREE, '/root/lib', false), 'lib')
  assert.equal(await resolve(TREE, '/lib/', false), 'usr/lib')
  assert.equal(await resolve(TREE, '/usr/lib/dangling', false), 'usr/lib/dangling')
})

test('resolvePath() says why a path leads nowhere', async () => {
  for (const [path, kind, code] of [
    ['/nope', 'notFound', 'STRATA_NO_SUCH_FILE'],
    ['/etc/nope/f', 'notFound', 'STRATA_NO_SUCH_FILE'],
    ['/usr/lib/dangling', 'notFound', 'STRATA_NO_SUCH_FILE'],
    ['/etc/f/x', 'invalidArgument', 'STRATA_NOT_A_DIRECTORY'],
    ['/etc/f/..', 'invalidArgument', 'STRATA_NOT_A_DIRECTORY'],
    ['/etc/f/', 'invalidArgument', 'STRATA_NOT_A_DIRECTORY'],
    ['/usr/lib/self', 'invalidArgument', 'STRATA_TOO_MANY_SYMLINKS'],
    ['/etc/..'.repeat(6000), 'invalidArgument', 'STRATA_PATH_TOO_LONG'],
  ] as const)
    await assert.rejects(resolve(TREE, path), { kind, code }, path.slice(0, 40))
})

test('resolvePath() without symlinks is what normalizing the path gives, where that is there', async () => {
  const name = fc.constantFrom('a', 'b', '..', '.', '')
  await fc.assert(
    fc.asyncProperty(fc.array(name, { maxLength: 8 }), async names => {
      const path = names.join('/')
      const tree: Tree = { a: 'directory', b: 'directory', 'a/a': 'directory', 'a/b': 'directory', 'b/a': 'directory' }
      const found = await resolve(tree, path).catch((error: unknown) => {
        assert.ok(isStrataError(error, 'notFound'))
      })
      if (found !== undefined) assert.equal(`/${found}`, posix.resolve('/', path))
    }),
  )
})
