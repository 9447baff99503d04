/*
 * node bench/runtimeStart.ts [rounds]
 *
 * What each step of a container's life costs, `true` in a root file system of busybox: in the
 * foreground without a monitor, and under conmon. Rounds alternate; Node's own start is not counted.
 */
import { performance } from 'node:perf_hooks'
import { planBundle, readRuntimeFacts, waitExit } from '../src/runtime/index.ts'
import { BusyboxMachine, outputOf, SKIP } from '../test/runtime/busyboxMachine.ts'

if (SKIP !== false) throw new Error(SKIP)

const steps = new Map<string, number[]>()

async function timed<T>(name: string, work: () => T | Promise<T>): Promise<T> {
  const start = performance.now()
  try {
    return await work()
  } finally {
    steps.set(name, [...(steps.get(name) ?? []), performance.now() - start])
  }
}

const rounds = Number(process.argv[2] ?? 30)
await using machine = await BusyboxMachine.open()
for (let round = 0; round < rounds; round += 1) {
  await timed('readRuntimeFacts', () => readRuntimeFacts())
  await timed('planBundle', () => planBundle({ id: 'x', rootfs: '/', process: { args: ['true'] } }, machine.facts))
  await timed('direct: in all', async () => {
    const { id, directory } = await timed('bundle: plan and write', () => machine.bundle({ args: ['true'] }))
    const running = await timed('direct: spawn', () =>
      machine.runtime.run({ id, bundle: directory, stdio: ['ignore', 'ignore', 'ignore'] }),
    )
    await timed('direct: run', () => running.ended)
  })
  await timed('monitor: in all', async () => {
    const { id, directory } = await machine.bundle({ args: ['true'] })
    const { monitorPid } = await timed('monitor: create', () =>
      machine.monitor.create({ id, directory, log: { path: `${directory}/log` } }),
    )
    await timed('monitor: start', () => machine.runtime.start(id))
    await timed('monitor: exit seen', () => waitExit(directory, id, { monitorPid }))
    await timed('monitor: delete', () => machine.runtime.delete(id))
  })
  await timed('monitor: attach and run', async () => {
    const { attachment } = await machine.start({ args: ['true'] })
    await outputOf(attachment)
  })
}
for (const [name, times] of steps) {
  const sorted = times.toSorted((a, b) => a - b)
  const at = (part: number): string => (sorted[Math.floor((sorted.length - 1) * part)] ?? 0).toFixed(1).padStart(7)
  console.log(`${name.padEnd(26)} min ${at(0)}  median ${at(0.5)}  p90 ${at(0.9)} ms`)
}
