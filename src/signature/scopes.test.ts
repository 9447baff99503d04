import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { formatReference, parseReference, type Reference } from '../oci/index.ts'
import { type ImagePlace, parsePolicy, requirementsFor } from './index.ts'

/** The scope that counts, of these; `default` for none. */
function scopeOf(scopes: readonly string[], place: ImagePlace): string {
  const transport = Object.fromEntries(scopes.map(scope => [scope, [{ type: 'reject' }]]))
  const policy = parsePolicy(
    Buffer.from(JSON.stringify({ default: [{ type: 'reject' }], transports: { [place.transport]: transport } })),
    'p',
  )
  const { part } = requirementsFor(policy, place)
  return part === 'default' ? part : (JSON.parse(/^scope ("[^"]*") of /.exec(part)![1]!) as string)
}

const docker = (text: string): ImagePlace => ({ transport: 'docker', reference: parseReference(text) })

test('requirementsFor() takes the scope that fits an image most exactly', () => {
  const scopes = [
    'reg.example.com:5000/team/app:1',
    'reg.example.com:5000/team/app',
    'reg.example.com:5000/team',
    'reg.example.com:5000',
    '*.example.com',
    '*.com',
    '',
  ]
  for (const [at, scope] of scopes.entries()) assert.equal(scopeOf(scopes.slice(at), docker('reg.example.com:5000/team/app:1')), scope)
  assert.equal(scopeOf([], docker('reg.example.com:5000/team/app:1')), 'default')
})

test('requirementsFor() takes names in full form, and parts of words for nothing', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['busybox:1', 'docker.io/library/busybox', 'docker.io/library/busybox'],
    ['busybox:1', 'busybox', 'default'],
    ['busybox:1', 'docker.io', 'docker.io'],
    ['busybox:1', '*.io', '*.io'],
    ['host.example/team/app:1', 'host.example/tea', 'default'],
    ['host.example/team/app:1', 'host.example/team/app:12', 'default'],
    ['host.example/team/app:1', 'host.exampl', 'default'],
    ['host.example:5000/app:1', 'host.example', 'default'],
    ['host.example:5000/app:1', '*.example', '*.example'],
    ['host.example:5000/app:1', '*.example:5000', 'default'],
    ['a.host.example/app:1', 'a*.example', 'default'],
    [`host.example/app@sha256:${'a'.repeat(64)}`, `host.example/app@sha256:${'a'.repeat(64)}`, `host.example/app@sha256:${'a'.repeat(64)}`],
  ]
  for (const [name, scope, expected] of cases) assert.equal(scopeOf([scope], docker(name)), expected, `${scope} and ${name}`)
})

test('requirementsFor() knows the scopes of the other transports', () => {
  const cases: readonly (readonly [ImagePlace, readonly string[]])[] = [
    [{ transport: 'dir', path: '/srv/images/one' }, ['/srv/images/one', '/srv/images', '/srv', '']],
    [{ transport: 'oci-archive', path: '/one.tar' }, ['/one.tar', '']],
    [{ transport: 'oci', path: '' }, ['']],
    [{ transport: 'docker-archive' }, ['']],
    [{ transport: 'docker-daemon', reference: undefined }, ['']],
    [
      { transport: 'docker-daemon', reference: parseReference('x:1') },
      ['docker.io/library/x:1', 'docker.io/library/x', 'docker.io/library', 'docker.io', '*.io', ''],
    ],
    [
      { transport: 'containers-storage', driver: 'erofs', root: '/s', meant: parseReference('x:1') },
      ['[erofs@/s]docker.io/library/x:1', '[erofs@/s]docker.io/library/x', '[erofs@/s]docker.io', '[erofs@/s]', '[/s]', ''],
    ],
  ]
  for (const [place, scopes] of cases) {
    for (const [at, scope] of scopes.entries()) assert.equal(scopeOf(scopes.slice(at), place), scope)
    assert.equal(scopeOf([], place), 'default')
  }
  assert.equal(scopeOf(['/srv/images/o'], { transport: 'dir', path: '/srv/images/one' }), 'default')
})

/** What the man page says, by looking at every scope. */
function modelScope(scopes: readonly string[], reference: Reference): string {
  const name = `${reference.domain}/${reference.path}`
  const host = reference.domain.split(':')[0]!
  const isWild = (scope: string): boolean => scope.startsWith('*.')
  const fitting = scopes.filter(
    scope =>
      scope === '' ||
      scope === formatReference(reference) ||
      `${name}/`.startsWith(`${scope}/`) ||
      (isWild(scope) && host.endsWith(scope.slice(1))),
  )
  const rank = (scope: string): number => (isWild(scope) ? 0 : 1000) + scope.length
  return fitting.toSorted((a, b) => (a === '' ? 1 : b === '' ? -1 : rank(b) - rank(a)))[0] ?? 'default'
}

test('requirementsFor() agrees with a model that tries every scope', () => {
  const label = fc.constantFrom('a', 'b', 'ab')
  const host = fc
    .tuple(fc.array(label, { minLength: 1, maxLength: 3 }), fc.constantFrom('', ':1', ':10'))
    .map(([labels, port]) => `${labels.join('.')}.c${port}`)
  const path = fc.array(label, { minLength: 1, maxLength: 3 }).map(parts => parts.join('/'))
  const suffix = fc.constantFrom(':1', ':10', `@sha256:${'a'.repeat(64)}`)
  const name = fc.tuple(host, path, suffix).map(parts => `${parts[0]}/${parts[1]}${parts[2]}`)
  const scope = fc.oneof(
    name,
    fc.tuple(host, path).map(parts => parts.join('/')),
    host,
    host.map(text => `*.${text}`),
    fc.constantFrom('', '*.c', '*.', '*'),
  )
  let hits = 0
  fc.assert(
    fc.property(name, fc.uniqueArray(scope, { maxLength: 12 }), (text, scopes) => {
      const expected = modelScope(scopes, parseReference(text))
      if (expected !== 'default' && expected !== '') hits += 1
      assert.equal(scopeOf(scopes, docker(text)), expected)
    }),
    { numRuns: 1000 },
  )
  assert.ok(hits > 100, `scopes are hit (${hits})`)
})
