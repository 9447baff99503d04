import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { humanAgo, humanDuration, parseDuration, parseTime } from './durations.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

test('humanDuration() says durations as docker does', () => {
  const durations: readonly (readonly [number, string])[] = [
    [0, 'Less than a second'],
    [999, 'Less than a second'],
    [SECOND, '1 second'],
    [1999, '1 second'],
    [2 * SECOND, '2 seconds'],
    [59 * SECOND, '59 seconds'],
    [MINUTE, 'About a minute'],
    [119 * SECOND, 'About a minute'],
    [2 * MINUTE, '2 minutes'],
    [59 * MINUTE + 59 * SECOND, '59 minutes'],
    [HOUR, 'About an hour'],
    [HOUR + 29 * MINUTE, 'About an hour'],
    [HOUR + 30 * MINUTE, '2 hours'],
    [47 * HOUR, '47 hours'],
    [48 * HOUR, '2 days'],
    [13 * DAY, '13 days'],
    [14 * DAY, '2 weeks'],
    [59 * DAY, '8 weeks'],
    [60 * DAY, '2 months'],
    [729 * DAY, '24 months'],
    [730 * DAY, '2 years'],
    [55 * 365 * DAY, '55 years'],
  ]
  for (const [ms, text] of durations) assert.equal(humanDuration(ms), text)
})

test('humanAgo() says N/A without a time, and no negative durations', () => {
  const now = new Date('2026-01-01T00:00:00Z')
  assert.equal(humanAgo(undefined, now), 'N/A')
  assert.equal(humanAgo(new Date(now.getTime() + DAY), now), 'Less than a second ago')
})

test('parseDuration() reads Go durations into milliseconds', () => {
  const durations: readonly (readonly [string, number])[] = [
    ['0', 0],
    ['10s', 10 * SECOND],
    ['1m30s', 90 * SECOND],
    ['1h15m30.5s', HOUR + 15 * MINUTE + 30.5 * SECOND],
    ['-5m', -5 * MINUTE],
    ['250ms', 250],
    ['.5s', 500],
  ]
  for (const [text, ms] of durations) assert.equal(parseDuration(text), ms, text)
  for (const text of ['', '10', 's', '1d', '1h 2m', '1..5s']) assert.throws(() => parseDuration(text), /invalid duration/)
})

test('parseDuration() gives back any whole number of its units', () => {
  fc.assert(
    fc.property(fc.nat({ max: 1000 }), fc.nat({ max: 59 }), fc.nat({ max: 59 }), (h, m, s) => {
      assert.equal(parseDuration(`${h}h${m}m${s}s`), h * HOUR + m * MINUTE + s * SECOND)
    }),
  )
})

test('parseTime() reads durations back from now, seconds since 1970 and RFC 3339', () => {
  const now = new Date('2026-01-01T12:00:00Z')
  assert.equal(parseTime('10m', now).toISOString(), '2026-01-01T11:50:00.000Z')
  assert.equal(parseTime('1700000000', now).toISOString(), '2023-11-14T22:13:20.000Z')
  assert.equal(parseTime('1700000000.5', now).toISOString(), '2023-11-14T22:13:20.500Z')
  assert.equal(parseTime('2026-01-02T03:04:05Z', now).toISOString(), '2026-01-02T03:04:05.000Z')
  assert.equal(parseTime('2026-01-02T03:04:05.123456789+02:00', now).toISOString(), '2026-01-02T01:04:05.123Z')
  assert.equal(parseTime('2026-01-02', now).getTime(), new Date('2026-01-02T00:00:00').getTime())
  assert.equal(parseTime('2026-01-02T10:11', now).getTime(), new Date('2026-01-02T10:11:00').getTime())
  for (const text of ['yesterday', '2026-13-40', '']) assert.throws(() => parseTime(text, now), /invalid time/)
})
