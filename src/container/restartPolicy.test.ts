import assert from 'node:assert/strict'
import { test } from 'node:test'
import { INITIAL_STATE } from './record.ts'
import { nextRestart } from './restartPolicy.ts'

const failed = { exitCode: 1, ranMs: 50 }

test('nextRestart() doubles the wait from 100 ms to a minute, and begins anew after ten seconds of work', () => {
  const waits: number[] = []
  let state = INITIAL_STATE
  for (let start = 0; start < 12; start += 1) {
    const restartDelayMs = nextRestart({ policy: 'always' }, state, failed)!
    waits.push(restartDelayMs)
    state = { ...state, restartDelayMs }
  }
  assert.deepEqual(waits, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000])
  assert.equal(nextRestart({ policy: 'always' }, state, { exitCode: 1, ranMs: 10_000 }), 100)
})

test('nextRestart() knows who restarts', () => {
  assert.equal(nextRestart(undefined, INITIAL_STATE, failed), undefined)
  assert.equal(nextRestart({ policy: 'no' }, INITIAL_STATE, failed), undefined)
  for (const policy of ['always', 'unless-stopped'] as const) {
    assert.equal(nextRestart({ policy }, INITIAL_STATE, { exitCode: 0, ranMs: 0 }), 100)
    assert.equal(nextRestart({ policy }, { ...INITIAL_STATE, stoppedByUser: true }, failed), undefined)
  }
  assert.equal(nextRestart({ policy: 'on-failure' }, INITIAL_STATE, { exitCode: 0, ranMs: 0 }), undefined)
  assert.equal(nextRestart({ policy: 'on-failure' }, { ...INITIAL_STATE, restartCount: 1000 }, failed), 100)
  assert.equal(nextRestart({ policy: 'on-failure', maximumRetries: 3 }, { ...INITIAL_STATE, restartCount: 2 }, failed), 100)
  assert.equal(nextRestart({ policy: 'on-failure', maximumRetries: 3 }, { ...INITIAL_STATE, restartCount: 3 }, failed), undefined)
})
