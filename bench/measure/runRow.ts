import { mkdir, rm } from 'node:fs/promises'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { drain, fileStream } from '../../src/base/index.ts'
import type { Contender, ContenderName, Verbs } from '../contenders/contender.ts'
import { archivePath, layoutPath } from '../images/catalogue.ts'
import type { Peers } from '../peers/peers.ts'
import { Registry } from '../peers/registry.ts'
import { BENCH_CACHE } from '../places.ts'
import type { Row, Stage } from '../rows/row.ts'
import { ControlGroup } from './controlGroup.ts'
import { FreshDisk } from './freshDisk.ts'
import { inside, measure, type Measurement, perform } from './measure.ts'

/** One measured command. */
export interface Sample extends Measurement {
  readonly row: string
  readonly contender: ContenderName
  readonly round: number
  /** What a sync of the store's disk took right afterwards. */
  readonly syncSeconds: number
  /** Load average of the last minute when the command began: how much else the machine had to do. */
  readonly load: number
}

export interface Failure {
  readonly row: string
  readonly contender: ContenderName
  readonly error: Error
}

export interface Arena {
  readonly peers: Peers
  readonly registry: Registry
  readonly contenders: readonly Contender[]
  readonly signal: AbortSignal
  report(result: Sample | Failure): void
}

/**
 * Measures one row: in each round every contender once, and who begins changes from round to round.
 * A contender that fails is reported and takes no further part.
 */
export async function runRow(row: Row, rounds: number, arena: Arena): Promise<void> {
  await provide(row, arena)
  await using scenes = new AsyncDisposableStack()
  let able: { readonly contender: Contender; readonly kept: Scene | undefined }[] = []
  const attempt = async (contender: Contender, work: () => Promise<void>): Promise<boolean> => {
    try {
      await work()
      return true
    } catch (error) {
      arena.signal.throwIfAborted()
      arena.report({ row: row.name, contender: contender.name, error: error as Error })
      return false
    }
  }
  for (const contender of arena.contenders) {
    let kept: Scene | undefined
    const ready = await attempt(contender, async () => {
      if (row.store === 'kept') kept = await prepared(row, contender, arena)
    })
    if (kept !== undefined) scenes.use(kept)
    if (ready) able.push({ contender, kept })
  }
  for (let round = 1; round <= rounds; round += 1) {
    const first = (round - 1) % Math.max(1, able.length)
    for (const one of [...able.slice(first), ...able.slice(0, first)]) {
      const done = await attempt(one.contender, async () => {
        if (one.kept !== undefined) return oneRound(row, round, one.kept, arena)
        await using scene = await prepared(row, one.contender, arena)
        if (takesPart(row, scene)) await oneRound(row, round, scene, arena)
      })
      if (!done) able = able.filter(other => other !== one)
    }
  }
}

/** A contender's store on its disk, and what has to be taken away with it. */
interface Scene extends AsyncDisposable {
  readonly contender: Contender
  readonly disk: FreshDisk
  readonly group: ControlGroup
  readonly verbs: Partial<Verbs>
  readonly output: string
}

let serial = 0

async function prepared(row: Row, contender: Contender, arena: Arena): Promise<Scene> {
  await using stack = new AsyncDisposableStack()
  const disk = stack.use(await FreshDisk.make(join(BENCH_CACHE, 'disks'), arena.peers.workspace))
  const [directory, output] = [join(disk.mountPoint, 'store'), join(disk.mountPoint, 'output')]
  serial += 1
  const runDirectory = join(arena.peers.workspace, 'run', `${contender.name}-${process.pid}-${serial}`)
  stack.defer(async () => rm(runDirectory, { recursive: true, force: true }))
  for (const path of [directory, output, runDirectory]) await mkdir(path, { recursive: true })
  const group = stack.use(new ControlGroup(`${contender.name}-${serial}`))
  const store = stack.use(await contender.open({ directory, runDirectory, inGroup: command => inside(group, command) }))
  const scene = { contender, disk, group, verbs: store.verbs, output }
  if (takesPart(row, scene)) await row.prepare?.(stageOf(scene, arena, ''))
  const owned = stack.move()
  return { ...scene, [Symbol.asyncDispose]: async () => owned.disposeAsync() }
}

function takesPart(row: Row, scene: { readonly verbs: Partial<Verbs> }): boolean {
  return row.verbs.every(verb => scene.verbs[verb] !== undefined)
}

async function oneRound(row: Row, round: number, scene: Scene, arena: Arena): Promise<void> {
  if (!takesPart(row, scene)) return
  await using stack = new AsyncDisposableStack()
  let address = ''
  if (row.pushes === true) {
    const directory = join(BENCH_CACHE, `registry-empty-${process.pid}`)
    stack.defer(async () => rm(directory, { recursive: true, force: true }))
    address = stack.use(await Registry.start(directory)).address
  }
  const stage = stageOf(scene, arena, address)
  await row.before?.(stage, round)
  await scene.disk.sync()
  const [load = 0] = loadavg()
  const measured = await measure(scene.group, row.command(stage, round), arena.signal)
  const syncSeconds = await scene.disk.sync()
  arena.report({ row: row.name, contender: scene.contender.name, round, ...measured, syncSeconds, load })
  await row.after?.(stage, round)
}

function stageOf(scene: Pick<Scene, 'verbs' | 'group' | 'output'>, arena: Arena, emptyRegistry: string): Stage {
  return {
    // Rows ask only for what they have named in `verbs`.
    verbs: scene.verbs as Verbs,
    output: scene.output,
    reference: image => arena.registry.reference(image),
    archive: image => archivePath(join(arena.peers.workspace, 'images'), image),
    perform: async command => perform(scene.group, command, arena.signal),
    emptyRegistry,
  }
}

/** Puts the row's input where it is read from, and into the page cache: nobody's first round reads from the disk. */
async function provide(row: Row, { registry }: Arena): Promise<void> {
  const images = join(BENCH_CACHE, 'images')
  for (const image of row.images) {
    if (row.source === 'archive') {
      await drain(fileStream(archivePath(images, image)))
      continue
    }
    await registry.hold(image, layoutPath(images, image))
    await registry.readAll(image)
  }
}
