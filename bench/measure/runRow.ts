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
  /** All that take part in any row. */
  readonly contenders: readonly Contender[]
  /** Whether a contender shall take part in a row. */
  isAsked(row: Row, contender: ContenderName): boolean
  readonly signal: AbortSignal
  report(result: Sample | Failure): void
}

/**
 * Measures rows of which each is the sequel of the one before: in each round every contender once, and who begins
 * changes from round to round. A contender that fails in a row is reported and takes no further part in it, nor in
 * what follows from the first.
 */
export async function runRows(rows: readonly [Row, ...Row[]], rounds: number, arena: Arena): Promise<void> {
  const [head, ...sequels] = rows
  await provide(head, arena)
  await using scenes = new AsyncDisposableStack()
  const failed = new Set<string>()
  const attempt = async (row: Row, contender: Contender, work: () => Promise<void>): Promise<void> => {
    if (failed.has(`${row.name} ${contender.name}`)) return
    try {
      await work()
    } catch (error) {
      arena.signal.throwIfAborted()
      failed.add(`${row.name} ${contender.name}`)
      arena.report({ row: row.name, contender: contender.name, error: error as Error })
    }
  }
  const oneOfEach = async (round: number, scene: Scene): Promise<void> => {
    await oneRound(head, round, scene, arena)
    for (const row of sequels) await attempt(row, scene.contender, async () => oneRound(row, round, scene, arena))
  }
  const contenders = arena.contenders.filter(({ name }) => arena.isAsked(head, name))
  const kept = new Map<Contender, Scene>()
  if (head.store === 'kept') {
    for (const contender of contenders) {
      await attempt(head, contender, async () => {
        const scene = await prepared(head, contender, arena)
        scenes.defer(async () => attempt(head, contender, async () => scene[Symbol.asyncDispose]()))
        kept.set(contender, scene)
      })
    }
  }
  for (let round = 1; round <= rounds; round += 1) {
    const first = (round - 1) % Math.max(1, contenders.length)
    for (const contender of [...contenders.slice(first), ...contenders.slice(0, first)]) {
      await attempt(head, contender, async () => {
        const scene = kept.get(contender)
        if (scene !== undefined) return oneOfEach(round, scene)
        await using fresh = await prepared(head, contender, arena)
        await oneOfEach(round, fresh)
      })
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
  if (hasVerbs(row, scene)) await row.prepare?.(stageOf(scene, arena, ''))
  const owned = stack.move()
  return { ...scene, [Symbol.asyncDispose]: async () => owned.disposeAsync() }
}

function hasVerbs(row: Row, scene: { readonly verbs: Partial<Verbs> }): boolean {
  return row.verbs.every(verb => scene.verbs[verb] !== undefined)
}

async function oneRound(row: Row, round: number, scene: Scene, arena: Arena): Promise<void> {
  if (!hasVerbs(row, scene) || !arena.isAsked(row, scene.contender.name)) return
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
