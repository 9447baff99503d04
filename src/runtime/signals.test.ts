import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseSignal } from './signals.ts'

test('parseSignal() reads names, numbers and real-time signals', () => {
  const cases = {
    TERM: 15,
    SIGTERM: 15,
    sigkill: 9,
    '9': 9,
    ' HUP ': 1,
    USR1: 10,
    RTMIN: 34,
    'SIGRTMIN+3': 37,
    'RTMAX-1': 63,
    rtmax: 64,
    '64': 64,
  }
  for (const [text, number] of Object.entries(cases)) assert.equal(parseSignal(text), number, text)
})

test('parseSignal() refuses what is no signal', () => {
  for (const text of ['', '0', '65', '-9', 'FOO', 'RTMIN+31', 'RTMIN-1', 'RTMAX+1', 'RTMAX-31', '9x', '1e1', '__proto__', 'toString']) {
    assert.throws(() => parseSignal(text), { code: 'STRATA_INVALID_SIGNAL' }, text)
  }
})
