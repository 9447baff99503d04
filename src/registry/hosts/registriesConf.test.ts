import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { parse, stringify } from 'smol-toml'
import { isStrataError } from '../../base/index.ts'
import { formatReference, parseReference } from '../../oci/index.ts'
import { findTable, mergeRegistriesConf, mirrorsFor, nameAt, type RegistriesConf, registriesConfOf } from './registriesConf.ts'

const read = (text: string, file = 'registries.conf'): RegistriesConf => registriesConfOf(parse(text), file)

const prefixFor = (conf: RegistriesConf, name: string): string | undefined => findTable(conf, parseReference(name))?.prefix

test('registriesConfOf() reads what containers-registries.conf(5) has as its example', () => {
  const conf = read(`
    unqualified-search-registries = ["example.com"]
    [[registry]]
    prefix = "example.com/foo"
    insecure = false
    blocked = false
    location = "internal-registry-for-example.com/bar"
    [[registry.mirror]]
    location = "example-mirror-0.local/mirror-for-foo"
    [[registry.mirror]]
    location = "example-mirror-1.local/mirrors/foo"
    insecure = true
    [[registry]]
    location = "registry.com"
    [[registry.mirror]]
    location = "mirror.registry.com"`)
  const reference = parseReference('example.com/foo/image:latest')
  const table = findTable(conf, reference)!
  assert.deepEqual(
    [...mirrorsFor(table, reference), table].map(endpoint => [nameAt(endpoint, table, reference), endpoint.insecure]),
    [
      ['example-mirror-0.local/mirror-for-foo/image:latest', false],
      ['example-mirror-1.local/mirrors/foo/image:latest', true],
      ['internal-registry-for-example.com/bar/image:latest', false],
    ],
  )
  assert.deepEqual(
    mirrorsFor(findTable(conf, parseReference('registry.com/image'))!, reference).map(({ location }) => location),
    ['mirror.registry.com'],
  )
})

test('findTable() takes the longest prefix, which ends where a part of the name does', () => {
  const conf = read(
    ['a.example', 'a.example/team', 'a.example/team/app:1', '*.example', '*.b.example', 'x.b.example']
      .map(prefix => `[[registry]]\nprefix = "${prefix}"`)
      .join('\n'),
  )
  for (const [name, prefix] of [
    ['a.example/app', 'a.example'],
    ['a.example/team/app', 'a.example/team'],
    ['a.example/team/app:1', 'a.example/team/app:1'],
    ['a.example/team/app:11', 'a.example/team'],
    ['a.example/teams/app', 'a.example'],
    ['a.example:5000/app', 'a.example'],
    ['aa.example/app', '*.example'],
    ['c.d.example:5000/app', '*.example'],
    ['c.b.example/app', '*.b.example'],
    ['x.b.example/app', 'x.b.example'],
    ['example/app', undefined],
    ['aexample.test/app', undefined],
    ['other.test/a.example/app', undefined],
  ] as const)
    assert.equal(prefixFor(conf, name), prefix, name)
})

test('findTable() knows Docker Hub by its whole names only', () => {
  const conf = read('[[registry]]\nprefix = "docker.io/library/app"\n[[registry]]\nprefix = "docker.io"')
  assert.equal(prefixFor(conf, 'app'), 'docker.io/library/app')
  assert.equal(prefixFor(conf, 'team/app'), 'docker.io')
})

test('mergeRegistriesConf() lets later files take the place of earlier ones, prefix by prefix and name by name', () => {
  const merged = mergeRegistriesConf([
    read(
      '[[registry]]\nlocation = "a.example"\nblocked = true\n[[registry]]\nlocation = "b.example"\n[aliases]\nx = "a.example/x"\ny = "a.example/y"\nz = "a.example/z"',
    ),
    read('[[registry]]\nprefix = "a.example"\nlocation = "c.example"\n[aliases]\nx = ""\ny = "b.example/y"'),
  ])
  assert.deepEqual(
    merged.registries.map(({ prefix, location, blocked }) => [prefix, location, blocked]),
    [
      ['a.example', 'c.example', false],
      ['b.example', 'b.example', false],
    ],
  )
  assert.deepEqual(Object.fromEntries(merged.aliases), { y: 'b.example/y', z: 'a.example/z' })
})

test('registriesConfOf() reads what version 1 forbids and allows', () => {
  const conf = read(
    "[registries.search]\nregistries = ['s.example']\n[registries.insecure]\nregistries = ['i.example', 'b.example/x/']\n[registries.block]\nregistries = ['b.example/x/']",
  )
  assert.deepEqual(
    conf.registries.map(({ prefix, insecure, blocked }) => [prefix, insecure, blocked]),
    [
      ['i.example', true, false],
      ['b.example/x', true, true],
    ],
  )
})

test('registriesConfOf() rejects what would be misunderstood', () => {
  for (const text of [
    '[[registry]]',
    '[[registry]]\ninsecure = true',
    '[[registry]]\nlocation = "https://a.example"',
    '[[registry]]\nprefix = "a.*.example"',
    '[[registry]]\nprefix = "*.example/x"',
    '[[registry]]\nprefix = "*.example:5000"',
    '[[registry]]\nlocation = "*.example"\nprefix = "x.example"',
    '[[registry]]\nlocation = "a.example"\nblocked = 1',
    '[[registry]]\nlocation = "a.example"\nmirror = "x"',
    '[[registry]]\nlocation = "a.example"\n[[registry.mirror]]\ninsecure = true',
    '[[registry]]\nlocation = "a.example"\n[[registry.mirror]]\nlocation = "m"\npull-from-mirror = "never"',
    '[[registry]]\nlocation = "a.example"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = "m"\npull-from-mirror = "all"',
    '[[registry]]\nlocation = "a.example"\n[registries.block]\nregistries = ["b.example"]',
    '[aliases]\nx = 1',
    'aliases = []',
  ])
    assert.throws(() => read(text), { code: 'STRATA_CONFIG_INVALID', message: /^Cannot use "registries\.conf": / }, text)
})

const label = fc.stringMatching(/^[a-z]{1,3}$/)
const host = fc.tuple(label, label).map(([first, second]) => `${first}.${second}`)
const location = fc.tuple(host, fc.array(label, { maxLength: 2 })).map(parts => parts.flat().join('/'))

test('property: the rest of a name stays behind whatever its prefix is replaced by', () => {
  fc.assert(
    fc.property(location, location, fc.array(label, { minLength: 1, maxLength: 3 }), (prefix, target, rest) => {
      const conf = read(stringify({ registry: [{ prefix, location: target }] }))
      const reference = parseReference(`${prefix}/${rest.join('/')}:1`)
      const table = findTable(conf, reference)!
      assert.equal(nameAt(table, table, reference), `${target}/${rest.join('/')}:1`)
    }),
  )
})

test('property: no table is longer than the one that is found', () => {
  fc.assert(
    fc.property(fc.array(location, { maxLength: 8 }), location, (prefixes, name) => {
      const conf = read(stringify({ registry: prefixes.map(prefix => ({ prefix })) }))
      const reference = parseReference(`${name}/app`)
      const fitting = prefixes.filter(prefix => `${formatReference(reference)}/`.startsWith(`${prefix}/`))
      const longest = Math.max(...fitting.map(({ length }) => length), 0)
      assert.equal(findTable(conf, reference)?.prefix.length ?? 0, longest)
    }),
  )
})

test('property: whatever a file holds is read or told', () => {
  const names = fc.constantFrom('registry', 'mirror', 'location', 'prefix', 'blocked', 'aliases', 'registries', 'block', 'pull-from-mirror')
  const { document } = fc.letrec(tie => ({
    document: fc.oneof(
      { depthSize: 'small' },
      fc.boolean(),
      fc.string(),
      fc.integer(),
      fc.constantFrom('a.example', '*.example', ''),
      fc.array(tie('document'), { maxLength: 3 }),
      fc.dictionary(names, tie('document'), { maxKeys: 5 }),
    ),
  }))
  fc.assert(
    fc.property(document, value => {
      try {
        registriesConfOf(value, 'x')
      } catch (error) {
        assert.ok(isStrataError(error, 'invalidArgument'), String(error))
      }
    }),
    { numRuns: 500 },
  )
})
