import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ContenderName } from '../../bench/contenders/contender.ts'
import { formatTargets, type Results } from '../../bench/measure/report.ts'
import type { Sample } from '../../bench/measure/runRow.ts'
import type { Row, Target } from '../../bench/rows/row.ts'

function rowOf(targets: readonly Target[]): Row {
  const row = { name: 'row', title: 'a row', images: [], source: 'archive', store: 'kept', rounds: 1, verbs: [] } as const
  return { ...row, targets, command: () => ({ file: '', args: [] }) }
}

/** Results of rounds in which contenders took so many seconds. */
function resultsOf(seconds: Readonly<Partial<Record<ContenderName, readonly number[]>>>, peakBytes = 1e6): Results {
  const samples = Object.entries(seconds).flatMap(([contender, walls]) =>
    walls.map((wallSeconds, round): Sample => {
      const measured = { wallSeconds, cpuSeconds: 0, syncSeconds: 0, peakBytes, load: 0 }
      return { row: 'row', contender: contender as ContenderName, round, ...measured }
    }),
  )
  const machine = { kernel: '', cpu: '', cores: 2, memoryBytes: 0, disk: '', loadAtStart: 0 }
  return { startedAt: '', machine, peersFrom: '', versions: {}, samples, failures: [] }
}

/** The cells of the lines after the head. */
function cells(results: Results, targets: readonly Target[]): readonly (readonly string[])[] {
  const [, , ...lines] = formatTargets(results, [rowOf(targets)]).split('\n')
  return lines.map(line =>
    line
      .split('|')
      .slice(1, -1)
      .map(cell => cell.trim()),
  )
}

test('formatTargets() compares with the fastest of the peers, which neither the floor is nor another form of Strata', () => {
  const results = resultsOf({
    strata: [3, 3, 3],
    'strata-nofsync': [1, 1, 1],
    floor: [1, 1, 1],
    dockerd: [9, 9, 9],
    podman: [20, 6, 6],
    ctr: [7, 7, 7],
  })
  const [best] = cells(results, [{ against: 'best peer', ratio: 0.5 }])
  assert.deepEqual(best, ['a row', 'at most 0.5× of the best peer', '0.500× of podman', 'yes'])
})

test('formatTargets() takes the median of the ratios of rounds in which both took part', () => {
  const results = resultsOf({ strata: [1, 2, 9], ctr: [10, 10, 10, 0.1] })
  const judged = cells(results, [
    { against: 'ctr', ratio: 0.2 },
    { against: 'ctr', ratio: 0.19, aim: true },
  ])
  assert.deepEqual(judged.slice(0, 2), [
    ['a row', 'at most 0.2× of ctr', '0.200× of ctr', 'yes'],
    ['', 'aim: at most 0.19× of ctr', '0.200× of ctr', '**no**'],
  ])
})

test('formatTargets() says what was not measured, and judges the most memory of Strata alone', () => {
  const [missing, memory] = cells(resultsOf({ strata: [1], dockerd: [1] }, 201e6), [{ against: 'floor', ratio: 1.5 }])
  assert.deepEqual(missing, ['a row', 'at most 1.5× of floor', 'not measured', '–'])
  assert.deepEqual(memory, ['peak memory of any row', 'below 200 MB', '201 MB (a row)', '**no**'])
  assert.deepEqual(cells(resultsOf({ dockerd: [1] }, 201e6), []), [])
})
