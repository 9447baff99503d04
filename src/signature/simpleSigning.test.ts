import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { isStrataError } from '../base/index.ts'
import { digestOf, formatReference } from '../oci/index.ts'
import { parseSimpleSigning } from './simpleSigning.ts'

const DIGEST = digestOf(Buffer.from('image'))
const GOOD = {
  critical: {
    identity: { 'docker-reference': 'host.example/app' },
    image: { 'docker-manifest-digest': DIGEST },
    type: 'cosign container image signature',
  },
  optional: null,
}

const parse = (payload: unknown): ReturnType<typeof parseSimpleSigning> =>
  parseSimpleSigning(Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload)))

function refusal(payload: unknown): string {
  try {
    parse(payload)
  } catch (error) {
    assert.ok(isStrataError(error, 'invalidArgument'), String(error))
    assert.ok(['STRATA_SIGNATURE_INVALID', 'STRATA_REFERENCE_INVALID'].includes(error.code), error.code)
    return error.message
  }
  return ''
}

test('parseSimpleSigning() reads what cosign signs', () => {
  const { digest, reference } = parse(GOOD)
  assert.deepEqual([digest, formatReference(reference)], [DIGEST, 'host.example/app'])
  assert.equal(formatReference(parse({ ...GOOD, optional: { creator: 'x', timestamp: 1, more: {} } }).reference), 'host.example/app')
})

/** Every object of the payload by the path to it. */
const OBJECTS = [[], ['critical'], ['critical', 'image'], ['critical', 'identity']] as const

function changed(path: readonly string[], change: (object: Record<string, unknown>) => void): unknown {
  const copy = structuredClone(GOOD) as Record<string, unknown>
  change(path.reduce((object, name) => object[name] as Record<string, unknown>, copy))
  return copy
}

test('parseSimpleSigning() refuses one field more, fewer or of another type, at every place', () => {
  for (const path of OBJECTS) {
    assert.match(refusal(changed(path, object => (object['more'] = 1))), /has the unknown field "more"$/)
    changed(path, object => {
      for (const name of Object.keys(object)) {
        assert.match(refusal(changed(path, each => delete each[name])), / is missing$/, `${name} left out`)
        for (const value of [1, 'x', [], true]) {
          if (typeof value === typeof object[name] && !Array.isArray(value)) continue
          assert.notEqual(refusal(changed(path, each => (each[name] = value))), '', `${name} is ${JSON.stringify(value)}`)
        }
        if (name !== 'optional') assert.notEqual(refusal(changed(path, each => (each[name] = null))), '', `${name} is null`)
      }
    })
  }
})

test('parseSimpleSigning() refuses a name twice at every place, the end of a text in it, and what is no UTF-8', () => {
  const text = JSON.stringify(GOOD)
  for (const name of ['critical', 'optional', 'identity', 'image', 'type', 'docker-reference', 'docker-manifest-digest']) {
    const twice = text.replace(`"${name}":`, `"${name}":"x","${name}":`)
    assert.match(refusal(twice), /stands twice/, name)
    assert.match(
      refusal(twice.replace(`"${name}":"x"`, `"\\u00${name.charCodeAt(0).toString(16)}${name.slice(1)}":"x"`)),
      /stands twice/,
      `${name} escaped`,
    )
  }
  for (const wrong of [`${text}{}`, `${text}\0`, `${text}]`, `[${text}]`, text.slice(0, -1), '', 'null', '1'])
    assert.notEqual(refusal(wrong), '')
  assert.throws(() => parseSimpleSigning(Buffer.concat([Buffer.from(text.slice(0, -1)), Buffer.of(0xff), Buffer.from('}')])), {
    code: 'STRATA_SIGNATURE_INVALID',
  })
  assert.match(refusal(text + ' '.repeat(65_536)), /more than 65536/)
})

test('parseSimpleSigning() throws nothing but its own errors, whatever it reads', () => {
  fc.assert(fc.property(fc.oneof(fc.json(), fc.string()), text => void refusal(text)))
  fc.assert(
    fc.property(fc.constantFrom(...OBJECTS), fc.string(), fc.jsonValue(), (path, name, value) => {
      // Anything put anywhere is refused, or one of the few changes that are none.
      const payload = changed(path, object => (object[name] = value))
      if (refusal(payload) === '')
        assert.ok(
          ['optional', 'docker-reference', 'docker-manifest-digest'].includes(name) || JSON.stringify(payload) === JSON.stringify(GOOD),
        )
    }),
  )
})
