/*
 * npm run bench -- [ROW…] [--rounds N] [--against dockerd,podman,ctr,floor] [--driver overlay2] [--list]
 * Measures whole commands of Strata and of its peers side by side. README.md says how and shows a run.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { containerd } from './contenders/containerd.ts'
import { type Contender, type ContenderName } from './contenders/contender.ts'
import { dockerd } from './contenders/dockerd.ts'
import { floor } from './contenders/floor.ts'
import { podman } from './contenders/podman.ts'
import { strata } from './contenders/strata.ts'
import { makeImages } from './images/makeImages.ts'
import { FULL } from './images/scale.ts'
import { sweepDisks } from './measure/freshDisk.ts'
import { describeMachine } from './measure/machine.ts'
import { formatConditions, formatTable, type Results } from './measure/report.ts'
import { type Failure, runRow, type Sample } from './measure/runRow.ts'
import { openPeers, type Peers } from './peers/peers.ts'
import { Registry } from './peers/registry.ts'
import { BENCH_CACHE } from './places.ts'
import type { Row } from './rows/row.ts'
import { ROWS } from './rows/rows.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string' },
    against: { type: 'string', default: 'dockerd,podman,ctr,floor' },
    driver: { type: 'string', default: 'overlay2' },
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

/** Those of the contenders that are asked for and installed. */
async function installed(peers: Peers): Promise<readonly Contender[]> {
  const wanted = new Set<string>(['strata', ...values.against.split(',')])
  const found: Contender[] = [strata(values.driver)]
  for (const [contender, programs] of [
    [dockerd(peers), ['dockerd', 'docker']],
    [podman(peers), ['podman']],
    [containerd(peers), ['containerd', 'ctr']],
    [floor, []],
  ] as const) {
    if (!wanted.has(contender.name)) continue
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
  const contenders = await installed(peers)
  const versions: Partial<Record<ContenderName, string>> = {}
  for (const contender of contenders) versions[contender.name] = await contender.versions()

  const samples: Sample[] = []
  let failures = 0
  const results: Results = {
    startedAt: new Date().toISOString(),
    machine: await describeMachine(),
    peersFrom: peers.origin,
    versions,
    samples,
  }
  const report = (result: Sample | Failure): void => {
    if ('error' in result) failures += 1
    else samples.push(result)
    console.error(describe(result))
  }
  const directory = join(import.meta.dirname, 'results')
  await mkdir(directory, { recursive: true })
  const path = join(directory, `${results.startedAt.replaceAll(':', '-')}.json`)
  for (const row of rows) {
    await runRow(row, values.rounds === undefined ? row.rounds : Number(values.rounds), {
      peers,
      registry,
      contenders,
      signal: stop.signal,
      report,
    })
    await writeFile(path, JSON.stringify(results, undefined, 2))
  }
  console.log(`${formatTable(results, rows)}\n\n${formatConditions(results)}`)
  if (failures > 0) process.exitCode = 1
}

try {
  await main()
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
}
