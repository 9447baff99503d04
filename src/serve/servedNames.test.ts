import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { describeBytes, MEDIA_TYPES } from '../oci/index.ts'
import { type ServedNames, servedNames } from './servedNames.ts'

const OWN = ['127.0.0.1:5000', 'localhost:5000']

const rootOf = (text: string): ReturnType<typeof describeBytes> => describeBytes(MEDIA_TYPES.manifest, Buffer.from(text))
const serve = (names: Readonly<Record<string, string>>): ServedNames =>
  servedNames(
    Object.entries(names).map(([name, content]) => ({ name, root: rootOf(content) })),
    OWN,
  )
const tagsOf = ({ repositories }: ServedNames): Readonly<Record<string, string>> =>
  Object.fromEntries([...repositories].flatMap(([path, { tags }]) => [...tags].map(([tag, { root }]) => [`${path}:${tag}`, root.digest])))

test('servedNames() serves images under their path without the registry', () => {
  const names = serve({
    '127.0.0.1:5000/team/app:1': 'a',
    'docker.io/team/tool:1': 'b',
    'docker.io/library/debian:12': 'c',
    'quay.io/team/app:2': 'd',
  })
  assert.deepEqual(tagsOf(names), {
    'team/app:1': rootOf('a').digest,
    'team/app:2': rootOf('d').digest,
    'team/tool:1': rootOf('b').digest,
    'library/debian:12': rootOf('c').digest,
    'debian:12': rootOf('c').digest,
  })
  assert.deepEqual(names.hidden, [])
})

test('servedNames() lets the local name win, then docker.io, then the alphabet; the others are hidden', () => {
  const names = serve({
    'zz.io/a:1': 'z',
    'quay.io/a:1': 'q',
    'docker.io/library/a:1': 'd',
    'localhost:5000/a:1': 'l',
    '127.0.0.1:5000/a:1': 'o',
  })
  assert.equal(tagsOf(names)['a:1'], rootOf('o').digest)
  assert.equal(tagsOf(names)['library/a:1'], rootOf('d').digest)
  const hiddenBy = '127.0.0.1:5000/a:1'
  assert.deepEqual(
    names.hidden,
    ['localhost:5000/a:1', 'docker.io/library/a:1', 'quay.io/a:1', 'zz.io/a:1'].map(name => ({ name, servedAs: 'a:1', hiddenBy })),
  )
})

test('servedNames() hides nothing where both names stand for the same', () => {
  assert.deepEqual(serve({ 'quay.io/a:1': 'same', 'docker.io/library/a:1': 'same' }).hidden, [])
})

test('servedNames() knows what is here by digest, and what was pushed', () => {
  const { digest } = rootOf('x')
  const names = serve({ [`quay.io/a@${digest}`]: 'x', [`localhost:5000/b@${digest}`]: 'x' })
  assert.deepEqual([...names.repositories.get('a')!.digests.keys()], [digest])
  assert.deepEqual([...names.repositories.get('a')!.tags], [])
  assert.deepEqual([...names.pushed], [digest])
  assert.equal(serve({ [`quay.io/a@${digest}`]: 'x' }).pushed.size, 0)
})

test('servedNames() serves or hides each name, in whatever order they come', () => {
  const name = fc
    .tuple(
      fc.constantFrom('docker.io/library', 'quay.io', '127.0.0.1:5000', 'localhost:5000'),
      fc.constantFrom('a', 'b'),
      fc.constantFrom('1', '2'),
    )
    .map(([registry, path, tag]) => `${registry}/${path}:${tag}`)
  fc.assert(
    fc.property(fc.dictionary(name, fc.constantFrom('x', 'y', 'z')), names => {
      const served = serve(names)
      const backwards = serve(Object.fromEntries(Object.entries(names).toReversed()))
      assert.deepEqual(tagsOf(served), tagsOf(backwards))
      assert.deepEqual(served.hidden, backwards.hidden)
      for (const [each, content] of Object.entries(names)) {
        const short = each.replace(/^(?:docker\.io\/library|[^/]+)\//, '')
        const isServed = tagsOf(served)[short] === rootOf(content).digest
        assert.equal(isServed, !served.hidden.some(hidden => hidden.name === each && hidden.servedAs === short))
      }
    }),
  )
})
