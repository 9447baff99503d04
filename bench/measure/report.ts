import type { ContenderName } from '../contenders/contender.ts'
import { CONTENDERS, PEERS } from '../contenders/contender.ts'
import type { Row, Target } from '../rows/row.ts'
import { MEMORY_TARGET } from '../rows/rows.ts'
import type { Machine } from './machine.ts'
import type { Sample } from './runRow.ts'
import { median, range } from './statistics.ts'

export interface Results {
  readonly startedAt: string
  readonly machine: Machine
  readonly peersFrom: string
  readonly versions: Readonly<Partial<Record<ContenderName, string>>>
  readonly samples: readonly Sample[]
  /** What could not be measured, and why. */
  readonly failures: readonly string[]
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

/** What is to be reached and whether it was, as a Markdown table: wall times without the sync, of which Strata leaves none. */
export function formatTargets(results: Results, rows: readonly Row[]): string {
  const lines = ['| | to reach | measured | reached |', '|---|---|---|---|']
  for (const row of rows) {
    const samples = results.samples.filter(sample => sample.row === row.name)
    for (const [position, target] of (row.targets ?? []).entries()) {
      lines.push(`| ${[position === 0 ? row.title : '', ...judge(target, samples)].join(' | ')} |`)
    }
  }
  const most = results.samples
    .filter(({ contender }) => contender === 'strata')
    .reduce<Sample | undefined>((a, b) => (a !== undefined && a.peakBytes > b.peakBytes ? a : b), undefined)
  if (most !== undefined) {
    const title = rows.find(({ name }) => name === most.row)?.title ?? most.row
    const measured = `${(most.peakBytes / 1e6).toFixed(0)} MB (${title})`
    lines.push(`| peak memory of any row | below ${MEMORY_TARGET / 1e6} MB | ${measured} | ${yesOrNo(most.peakBytes < MEMORY_TARGET)} |`)
  }
  return lines.join('\n')
}

/** A target, what was measured, and whether that is enough. */
function judge({ against, ratio: most, aim }: Target, samples: readonly Sample[]): readonly [string, string, string] {
  const wanted = `${aim === true ? 'aim: ' : ''}at most ${most}× of ${against === 'best peer' ? 'the best peer' : against}`
  const rival = against === 'best peer' ? fastest(PEERS, samples) : against
  const ours = samples.filter(({ contender }) => contender === 'strata')
  const theirs = samples.filter(({ contender }) => contender === rival)
  const ratios = ratiosOf(ours, theirs, sample => sample.wallSeconds)
  if (ratios.length === 0) return [wanted, 'not measured', '–']
  return [wanted, `${median(ratios).toFixed(3)}× of ${rival}`, yesOrNo(median(ratios) <= most)]
}

function fastest(names: readonly ContenderName[], samples: readonly Sample[]): ContenderName | undefined {
  let best: { readonly name: ContenderName; readonly wallSeconds: number } | undefined
  for (const name of names) {
    const walls = samples.filter(({ contender }) => contender === name).map(sample => sample.wallSeconds)
    if (walls.length > 0 && (best === undefined || median(walls) < best.wallSeconds)) best = { name, wallSeconds: median(walls) }
  }
  return best?.name
}

const yesOrNo = (reached: boolean): string => (reached ? 'yes' : '**no**')

/** The conditions, as lines of Markdown. */
export function formatConditions({ startedAt, machine, peersFrom, versions, samples, failures }: Results): string {
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
    ...failures.map(failure => `- failed: ${shortened(failure)}`),
  ].join('\n')
}

/** One line: what was tried is at its beginning, why it failed at its end. */
function shortened(failure: string): string {
  const line = failure.replaceAll(/\s+/g, ' ')
  return line.length <= 400 ? line : `${line.slice(0, 150)} … ${line.slice(-250)}`
}

function ratio(ours: readonly Sample[], theirs: readonly Sample[], pick: (sample: Sample) => number): string {
  const ratios = ratiosOf(ours, theirs, pick)
  return ratios.length === 0 ? '–' : `${median(ratios).toFixed(2)}×`
}

/** One for each round in which both took part. */
function ratiosOf(ours: readonly Sample[], theirs: readonly Sample[], pick: (sample: Sample) => number): readonly number[] {
  const ratios: number[] = []
  for (const sample of ours) {
    const other = theirs.find(candidate => candidate.round === sample.round)
    if (other !== undefined) ratios.push(pick(sample) / pick(other))
  }
  return ratios
}

function seconds(value: number): string {
  return value.toFixed(value < 9.95 ? (value < 0.995 ? 3 : 2) : 1)
}
