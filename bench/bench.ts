/*
 * npm run bench -- [ROW…] [--rounds N] [--against dockerd,podman,ctr,skopeo,floor,strata-nofsync,strata-overlay2] [--driver erofs] [--list]
 * Measures whole commands of Strata and of its peers side by side. README.md says how and shows a run.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { containerd } from './contenders/containerd.ts'
import { CONTENDERS, type Contender, type ContenderName, PEERS } from './contenders/contender.ts'
import { dockerd } from './contenders/dockerd.ts'
import { floor } from './contenders/floor.ts'
import { podman } from './contenders/podman.ts'
import { skopeo } from './contenders/skopeo.ts'
import { stratas } from './contenders/strata.ts'
import { makeImages } from './images/makeImages.ts'
import { FULL } from './images/scale.ts'
import { sweepDisks } from './measure/freshDisk.ts'
import { describeMachine } from './measure/machine.ts'
import { formatConditions, formatTable, formatTargets, type Results } from './measure/report.ts'
import { type Failure, runRows, type Sample } from './measure/runRow.ts'
import { openPeers, type Peers } from './peers/peers.ts'
import { Registry } from './peers/registry.ts'
import { BENCH_CACHE } from './places.ts'
import type { Row } from './rows/row.ts'
import { ROWS } from './rows/rows.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string' },
    against: { type: 'string' },
    driver: { type: 'string', default: 'erofs' },
    list: { type: 'boolean', default: false },
  },
})

/** A row by its name, or all that begin with it: `pull` is every pull; `floor` are the rows that have one. */
function chosenRows(): readonly Row[] {
  if (positionals.length === 0) return ROWS
  return positionals.flatMap(name => {
    if (name === 'floor') return ROWS.filter(row => row.verbs.every(verb => verb === 'pull'))
    const exact = ROWS.filter(row => row.name === name)
    const found = exact.length > 0 ? exact : ROWS.filter(row => row.name.startsWith(`${name}-`))
    if (found.length === 0) throw new Error(`Cannot measure "${name}": the rows are ${ROWS.map(row => row.name).join(', ')}`)
    return found
  })
}

/** Whether a row is to be measured with a contender. */
function isAsked(row: Row, contender: ContenderName): boolean {
  if (contender === 'strata') return true
  return (values.against?.split(',') ?? row.against ?? [...PEERS, 'floor']).includes(contender)
}

/** Rows with their sequels. */
function chains(rows: readonly Row[]): readonly (readonly [Row, ...Row[]])[] {
  const heads = rows.filter(row => !rows.some(({ sequel }) => sequel === row))
  return heads.map(head => {
    const chain: [Row, ...Row[]] = [head]
    for (let next = head.sequel; next !== undefined && rows.includes(next); next = next.sequel) chain.push(next)
    return chain
  })
}

/** Those of the contenders that rows ask for and that are installed. */
async function installed(peers: Peers, rows: readonly Row[]): Promise<readonly Contender[]> {
  const found: Contender[] = []
  for (const [contender, programs] of [
    ...stratas(values.driver).map(contender => [contender, []] as const),
    [dockerd(peers), ['dockerd', 'docker']],
    [podman(peers), ['podman']],
    [containerd(peers), ['containerd', 'ctr']],
    [skopeo(peers), ['skopeo']],
    [floor, []],
  ] as const) {
    if (!rows.some(row => isAsked(row, contender.name))) continue
    const missing: string[] = []
    for (const program of programs) if (!(await peers.has(program))) missing.push(program)
    if (missing.length === 0) found.push(contender)
    else console.error(`bench: without ${contender.name}: ${missing.join(' and ')} not found; "node bench/makePeers.ts" installs the peers`)
  }
  return found
}

function describe(result: Sample | Failure): string {
  if ('error' in result) return `${result.row} ${result.contender}: ${result.error.message}`
  const { row, round, contender, wallSeconds, syncSeconds, cpuSeconds, peakBytes, load } = result
  return `${row} ${round} ${contender}: ${wallSeconds.toFixed(3)} s, sync ${syncSeconds.toFixed(3)} s, CPU ${cpuSeconds.toFixed(2)} s, ${(peakBytes / 1e6).toFixed(0)} MB, load ${load.toFixed(1)}`
}

async function main(): Promise<void> {
  const rows = chosenRows()
  for (const name of values.against?.split(',') ?? []) {
    if (!(CONTENDERS as readonly string[]).includes(name))
      throw new Error(`Cannot measure against "${name}": there are ${CONTENDERS.join(', ')}`)
  }
  if (values.list) {
    for (const row of rows) console.log(`${row.name.padEnd(18)}${row.title}`)
    return
  }
  if (process.getuid?.() !== 0) throw new Error('Cannot measure: mounts, cgroups and the peers need root')
  const stop = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort(new Error(`Cannot go on: ${name}`)))

  await makeImages(new Set(rows.flatMap(row => row.images)), BENCH_CACHE, FULL)
  await using peers = await openPeers()
  await sweepDisks(join(BENCH_CACHE, 'disks'), peers.workspace)
  await using registry = await Registry.start(join(BENCH_CACHE, 'registry'))
  const contenders = await installed(peers, rows)
  const versions: Partial<Record<ContenderName, string>> = {}
  for (const contender of contenders) versions[contender.name] = await contender.versions()

  const samples: Sample[] = []
  const failures: string[] = []
  const results: Results = {
    startedAt: new Date().toISOString(),
    machine: await describeMachine(),
    peersFrom: peers.origin,
    versions,
    samples,
    failures,
  }
  const report = (result: Sample | Failure): void => {
    if ('error' in result) failures.push(describe(result))
    else samples.push(result)
    console.error(describe(result))
  }
  const directory = join(import.meta.dirname, 'results')
  await mkdir(directory, { recursive: true })
  const path = join(directory, `${results.startedAt.replaceAll(':', '-')}.json`)
  for (const chain of chains(rows)) {
    const [head] = chain
    try {
      await runRows(chain, values.rounds === undefined ? head.rounds : Number(values.rounds), {
        peers,
        registry,
        contenders,
        isAsked,
        signal: stop.signal,
        report,
      })
    } catch (error) {
      stop.signal.throwIfAborted()
      // The other rows have nothing to do with it.
      failures.push(`${head.name}: ${String(error)}`)
      console.error(failures.at(-1))
    }
    await writeFile(path, JSON.stringify(results, undefined, 2))
  }
  console.log([formatTable(results, rows), formatTargets(results, rows), formatConditions(results)].join('\n\n'))
  if (failures.length > 0) process.exitCode = 1
}

try {
  await main()
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
}
