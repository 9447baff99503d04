import type { ContenderName } from '../contenders/contender.ts'
import { CONTENDERS } from '../contenders/contender.ts'
import type { Row } from '../rows/row.ts'
import type { Machine } from './machine.ts'
import type { Sample } from './runRow.ts'
import { median, range } from './statistics.ts'

export interface Results {
  readonly startedAt: string
  readonly machine: Machine
  readonly peersFrom: string
  readonly versions: Readonly<Partial<Record<ContenderName, string>>>
  readonly samples: readonly Sample[]
}

/**
 * The medians as a Markdown table. The ratio is Strata's wall time, with the sync, over the contender's in the
 * same round; what is shown is the median of the rounds' ratios, so a slow minute counts for both.
 */
export function formatTable(results: Results, rows: readonly Row[]): string {
  const lines = ['| | | wall s | min–max | sync s | CPU s | peak MB | Strata takes | with sync |', '|---|---|--:|--:|--:|--:|--:|--:|--:|']
  for (const row of rows) {
    const samples = results.samples.filter(sample => sample.row === row.name)
    const ours = samples.filter(sample => sample.contender === 'strata')
    let title = row.title
    for (const contender of CONTENDERS) {
      const own = samples.filter(sample => sample.contender === contender)
      if (own.length === 0) continue
      const take = (pick: (sample: Sample) => number): number => median(own.map(pick))
      const [low, high] = range(own.map(sample => sample.wallSeconds))
      const cells = [
        title,
        contender,
        seconds(take(sample => sample.wallSeconds)),
        `${seconds(low)}–${seconds(high)}`,
        seconds(take(sample => sample.syncSeconds)),
        seconds(take(sample => sample.cpuSeconds)),
        (take(sample => sample.peakBytes) / 1e6).toFixed(0),
        contender === 'strata' ? '' : ratio(ours, own, sample => sample.wallSeconds),
        contender === 'strata' ? '' : ratio(ours, own, sample => sample.wallSeconds + sample.syncSeconds),
      ]
      lines.push(`| ${cells.join(' | ')} |`)
      title = ''
    }
  }
  return lines.join('\n')
}

/** The conditions, as lines of Markdown. */
export function formatConditions({ startedAt, machine, peersFrom, versions, samples }: Results): string {
  const loads = samples.map(sample => sample.load)
  return [
    `- ${startedAt.slice(0, 10)}, ${machine.kernel}, ${machine.cores} × ${machine.cpu}, ${(machine.memoryBytes / 1e9).toFixed(0)} GB, stores on ext4 over a loop device on ${machine.disk}`,
    `- load average before the commands: ${
      loads.length === 0
        ? '–'
        : `median ${median(loads).toFixed(1)}, ${range(loads)
            .map(load => load.toFixed(1))
            .join('–')}`
    }`,
    `- peers from ${peersFrom}`,
    ...Object.values(versions).map(version => `- ${version}`),
  ].join('\n')
}

function ratio(ours: readonly Sample[], theirs: readonly Sample[], pick: (sample: Sample) => number): string {
  const ratios: number[] = []
  for (const sample of ours) {
    const other = theirs.find(candidate => candidate.round === sample.round)
    if (other !== undefined) ratios.push(pick(sample) / pick(other))
  }
  return ratios.length === 0 ? '–' : `${median(ratios).toFixed(2)}×`
}

function seconds(value: number): string {
  return value.toFixed(value < 9.95 ? (value < 0.995 ? 3 : 2) : 1)
}
