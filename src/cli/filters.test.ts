import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Filters } from './filters.ts'

const NOW = new Date('2026-01-01T12:00:00Z')
const filters = (...texts: readonly string[]): Filters =>
  new Filters(texts, ['label', 'label!', 'dangling', 'until', 'status', 'exited'], NOW)

test('Filters gives each filter as a part of an option record, and nothing for one that is not there', () => {
  const some = filters('label=a', 'label=b=c', 'dangling=true', 'until=24h', 'exited=137', 'label!=d')
  assert.deepEqual(some.list('label', 'labels'), { labels: ['a', 'b=c'] })
  assert.deepEqual(some.truth('dangling', 'dangling'), { dangling: true })
  assert.deepEqual(some.time('until', 'until'), { until: new Date('2025-12-31T12:00:00Z') })
  assert.deepEqual(some.numbers('exited', 'exitCodes'), { exitCodes: [137] })
  assert.deepEqual(some.list('status', 'statuses'), {})
  assert.deepEqual(some.single('status', 'status'), {})
})

test('Filters reads label!=x as the absence of a label', () => {
  assert.deepEqual(filters('label!=x=y').list('label!', 'labelsAbsent'), { labelsAbsent: ['x=y'] })
})

test('Filters refuses what it does not know', () => {
  const wrong: readonly (readonly [() => unknown, RegExp])[] = [
    [() => filters('colour=red'), /there is no filter "colour" here; known are label/],
    [() => filters('label'), /expected name=value/],
    [() => filters('=x'), /expected name=value/],
    [() => filters('dangling=maybe').truth('dangling', 'dangling'), /expected true or false/],
    [() => filters('until=soon').time('until', 'until'), /invalid time: 'soon'/],
    [() => filters('exited=x').numbers('exited', 'exitCodes'), /expected a whole number/],
    [() => filters('status=happy').words('status', 'statuses', ['running']), /expected one of running/],
  ]
  for (const [make, message] of wrong) assert.throws(make, (error: Error) => message.test(error.message))
})
