import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { DetachKeys, parseDetachKeys } from './detachKeys.ts'

test('parseDetachKeys() reads letters and control keys', () => {
  assert.deepEqual([...parseDetachKeys('ctrl-p,ctrl-Q,a,ctrl-@,ctrl-[,ctrl-_')], [16, 17, 97, 0, 27, 31])
  assert.deepEqual([...parseDetachKeys('')], [])
  for (const text of ['ctrl-', 'ab', 'ctrl-1', 'a,', 'ä'])
    assert.throws(() => parseDetachKeys(text), { code: 'STRATA_INVALID_DETACH_KEYS' })
})

test('DetachKeys.take() finds the keys wherever the chunks are cut, and passes on all that came before them', () => {
  const bytes = fc.array(fc.constantFrom(97, 98, 99), { maxLength: 12 })
  fc.assert(
    fc.property(
      bytes,
      fc.array(fc.nat(3), { minLength: 1, maxLength: 20 }),
      fc.constantFrom('a,a,b', 'a,b', 'b', 'a,b,a'),
      (typed, cuts, keys) => {
        const wanted = String.fromCharCode(...parseDetachKeys(keys))
        const text = String.fromCharCode(...typed)
        const at = text.indexOf(wanted)
        const detach = new DetachKeys(keys)
        let passed = ''
        let isDetached = false
        for (let from = 0, index = 0; from < typed.length && !isDetached; index += 1) {
          const to = from + 1 + cuts[index % cuts.length]!
          const taken = detach.take(Uint8Array.from(typed.slice(from, to)))
          passed += String.fromCharCode(...taken.passed)
          isDetached = taken.isDetached
          from = to
        }
        assert.equal(isDetached, at !== -1)
        if (isDetached) assert.equal(passed, text.slice(0, at))
        else assert.ok(text.startsWith(passed) && text.length - passed.length < wanted.length)
      },
    ),
  )
})
