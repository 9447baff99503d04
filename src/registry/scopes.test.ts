import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { scopesOfRequest, unionScopes } from './scopes.ts'

test('unionScopes() names each resource once, with all its actions', () => {
  assert.deepEqual(unionScopes(['repository:app:pull,push'], ['repository:app:pull', 'repository:base:pull', 'repository:app:delete']), [
    'repository:app:pull,push,delete',
    'repository:base:pull',
  ])
  assert.deepEqual(unionScopes(['registry:catalog:*', 'repository(plugin):a/b:pull']), [
    'registry:catalog:*',
    'repository(plugin):a/b:pull',
  ])
})

test('unionScopes() takes the port of a host name for a part of the resource', () => {
  assert.deepEqual(unionScopes(['repository:host:5000/app:pull', 'repository:host:5000/app:push']), ['repository:host:5000/app:pull,push'])
})

test('unionScopes() leaves out what is no scope, and what is too much', () => {
  assert.deepEqual(
    unionScopes(['', 'repository', 'repository:a', 'repository:a:', 'x y:a:pull', 'repository:a"b:pull', 'repository:a:,']),
    [],
  )
  const many = Array.from({ length: 100 }, (_, n) => `repository:r${n}:pull`)
  assert.equal(unionScopes(['repository:own:push'], many).length, 16)
  assert.equal(unionScopes(['repository:own:push'], many)[0], 'repository:own:push')
})

const scope = fc
  .tuple(
    fc.constantFrom('repository:a', 'repository:b/c', 'repository:h:5000/d'),
    fc.uniqueArray(fc.constantFrom('pull', 'push', 'delete'), { minLength: 1 }),
  )
  .map(([resource, actions]) => `${resource}:${actions.join(',')}`)

test('property: unionScopes() of a union adds nothing, and it has every action that was asked for', () => {
  fc.assert(
    fc.property(fc.array(scope), fc.array(scope), (one, other) => {
      const union = unionScopes(one, other)
      assert.deepEqual(unionScopes(union, one), union)
      const pairs = (list: readonly string[]): Set<string> =>
        new Set(
          list.flatMap(each =>
            each
              .slice(each.lastIndexOf(':') + 1)
              .split(',')
              .map(action => `${each.slice(0, each.lastIndexOf(':'))} ${action}`),
          ),
        )
      assert.deepEqual(pairs(union), pairs([...one, ...other]))
    }),
  )
})

test('scopesOfRequest() names the source of a mount, and nothing else', () => {
  const url = (query: string): URL => new URL(`https://r.example/v2/app/blobs/uploads/${query}`)
  assert.deepEqual(scopesOfRequest(url('?mount=sha256%3Aab&from=team%2Fbase')), ['repository:team/base:pull'])
  for (const query of ['', '?from=x', '?mount=sha256%3Aab', '?digest=sha256%3Aab']) assert.deepEqual(scopesOfRequest(url(query)), [])
})
