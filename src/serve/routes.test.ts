import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { matchRoute, PATHS, type Route } from './routes.ts'

const NAMES = Object.keys(PATHS) as (keyof typeof PATHS)[]
/** Each route answers with its name. */
const routes: readonly Route[] = NAMES.map(name => {
  const handle = Object.assign(async () => undefined, { route: name })
  return { path: PATHS[name], read: handle, writes: name === 'blob' ? { DELETE: handle } : {} }
})

function routeOf(path: string, method = 'GET'): readonly [string, string, string] {
  const { handle, name, reference } = matchRoute(routes, method, path)
  return [(handle as unknown as { route: string }).route, name, reference]
}

test('matchRoute() finds the paths of the spec, also behind names that contain their words', () => {
  const digest = `sha256:${'a'.repeat(64)}`
  for (const [path, expected] of [
    ['/v2/', ['root', '', '']],
    ['/v2', ['root', '', '']],
    ['/v2/_catalog', ['catalog', '', '']],
    ['/v2/a/manifests/latest', ['manifest', 'a', 'latest']],
    ['/v2/a/b/c/manifests/latest', ['manifest', 'a/b/c', 'latest']],
    ['/v2/manifests/manifests/manifests', ['manifest', 'manifests', 'manifests']],
    ['/v2/blobs/uploads/manifests/1', ['manifest', 'blobs/uploads', '1']],
    [`/v2/a/blobs/${digest}`, ['blob', 'a', digest]],
    [`/v2/a/blobs/${digest.replace(':', '%3A')}`, ['blob', 'a', digest]],
    ['/v2/a/blobs/uploads/', ['uploads', 'a', '']],
    ['/v2/a/blobs/uploads', ['uploads', 'a', '']],
    ['/v2/a/blobs/uploads/x-y', ['upload', 'a', 'x-y']],
    ['/v2/tags/list/tags/list', ['tags', 'tags/list', '']],
    [`/v2/a/b/referrers/${digest}`, ['referrers', 'a/b', digest]],
  ] as const)
    assert.deepEqual(routeOf(path), expected, path)
})

test('matchRoute() refuses names that are none (hostile #54, #61)', () => {
  for (const name of [
    '..',
    '../..',
    'a/../b',
    'A',
    'a//b',
    '/a',
    'a/',
    '%2e%2e',
    'a%00',
    'a%2f..',
    'a b',
    'a:b',
    'a@b',
    '-a',
    'a_',
    'a'.repeat(300),
  ])
    assert.throws(() => routeOf(`/v2/${name}/manifests/1`), { code: 'NAME_INVALID', status: 400 }, name)
})

test('matchRoute() knows no other paths, and says which methods there are', () => {
  for (const path of ['', '/', '/v1/', '/v2/a', '/v2/a/tags', '/v2/a/manifests/', '/v2/a/manifests/x/y', '/v2/_catalog/x', '/etc/passwd'])
    assert.throws(() => routeOf(path), { status: 404 }, path)
  assert.throws(() => routeOf('/v2/a/blobs/x', 'POST'), { status: 405, headers: { allow: 'GET, HEAD, DELETE' } })
  for (const method of ['constructor', 'toString', 'TRACE', ''])
    assert.throws(() => routeOf('/v2/a/blobs/x', method), { status: 405 }, method)
})

test('matchRoute() gives a name of the grammar or throws what becomes an answer', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...Array.from('ab/._-%2e0A:@\0é')), maxLength: 40 }), text => {
      try {
        const [, name] = routeOf(`/v2/${text}/blobs/x`)
        assert.match(name, /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/)
      } catch (error) {
        assert.equal((error as Error).name, 'RegistryError')
      }
    }),
  )
})
