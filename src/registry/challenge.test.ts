import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { type Challenge, parseChallenges } from './challenge.ts'

const read = (header: string): readonly (readonly [string, Record<string, string>])[] =>
  parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)])

test('parseChallenges() reads what registries send', () => {
  assert.deepEqual(read('Bearer realm="https://a.example/token",service="a b",scope="repository:x:pull,push",error="insufficient_scope"'), [
    ['bearer', { realm: 'https://a.example/token', service: 'a b', scope: 'repository:x:pull,push', error: 'insufficient_scope' }],
  ])
  assert.deepEqual(read('BASIC Realm = "say \\"x\\""'), [['basic', { realm: 'say "x"' }]])
  assert.deepEqual(read('Basic'), [['basic', {}]])
  assert.deepEqual(read(''), [])
})

test('parseChallenges() finds the challenges after one that it does not know', () => {
  const bearer = ['bearer', { realm: 'r' }] as const
  assert.deepEqual(read('Basic, Bearer realm=r'), [['basic', {}], bearer])
  assert.deepEqual(read('Negotiate, Bearer realm="r"'), [['negotiate', {}], bearer])
  assert.deepEqual(read('Negotiate YII+/a==, Bearer realm="r"'), [['negotiate', {}], bearer])
  assert.deepEqual(read('Digest realm="r", nonce=1, Bearer realm="r"'), [['digest', { realm: 'r', nonce: '1' }], bearer])
})

const token = fc.stringMatching(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}$/)
const value = fc.string({ unit: fc.constantFrom('a', 'Z', '"', '\\', ',', '=', ' ', ':', '/', 'é'), maxLength: 20 })
const challenge: fc.Arbitrary<Challenge> = fc.record(
  {
    scheme: token.map(text => text.toLowerCase()),
    parameters: fc
      .array(
        fc.tuple(
          token.map(text => text.toLowerCase()),
          value,
        ),
        { maxLength: 4 },
      )
      .map(pairs => new Map(pairs)),
  },
  { noNullPrototype: true },
)

const write = ({ scheme, parameters }: Challenge): string =>
  `${scheme} ${Array.from(parameters, ([name, text]) => `${name}="${text.replaceAll(/["\\]/g, '\\$&')}"`).join(', ')}`.trimEnd()

test('property: parseChallenges() reads any list of challenges as it was written', () => {
  fc.assert(fc.property(fc.array(challenge, { maxLength: 4 }), list => assert.deepEqual(parseChallenges(list.map(write).join(', ')), list)))
})

test('property: parseChallenges() takes any text', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('a', '"', '\\', ',', '=', ' ', 'Basic ', 'x="'), maxLength: 200 }),
      text => void parseChallenges(text),
    ),
  )
  // As long as a header may be for Node, in less time than anybody notices.
  const start = performance.now()
  for (const piece of ['a', '"', '\\"', ' ', ',', 'a=', 'a="', 'a ', 'a=a,', 'a a=', '='])
    for (const first of ['', 'Basic ', 'Basic a="']) parseChallenges(first + piece.repeat(100_000 / piece.length))
  assert.ok(performance.now() - start < 2000)
})
