import { mkdtemp, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type Mount, mount, unmount } from '../../host/index.ts'
import type { AppliedLayer, LayerInput } from '../../layer/index.ts'
import type { LayerStack, NameOfLayer, Snapshotter } from '../../snapshot/index.ts'

/** What the module of a Snapshotter under test exports. */
export interface SnapshotterModule {
  /** Opens the Snapshotter of a root directory that exists; several processes may have it open. */
  readonly openSnapshotter: (root: string) => Promise<Snapshotter>
  /** How many states have something on disk, with or without a record. */
  readonly statesOnDisk: (root: string) => Promise<number>
}

/** What a case works with. */
export interface Subject extends SnapshotterModule {
  readonly module: URL
  readonly root: string
  readonly snapshots: Snapshotter
  /** A directory beside the root for mount points and files. */
  readonly scratch: string
}

export type Cases = Readonly<Record<string, (subject: Subject, t: TestContext) => Promise<void>>>

/** Mounts a state for as long as `use` runs. */
export async function mounted<T>(scratch: string, mounts: readonly Mount[], use: (directory: string) => T | Promise<T>): Promise<T> {
  const target = await mkdtemp(join(scratch, 'mount-'))
  let performed = 0
  try {
    for (const each of mounts) {
      mount(each, target)
      performed += 1
    }
    return await use(target)
  } finally {
    for (; performed > 0; performed -= 1) unmount(target)
    await rmdir(target)
  }
}

/** Makes a committed state of what `change` does to a mounted one. */
export async function commitChanged(
  { snapshots, scratch }: Pick<Subject, 'snapshots' | 'scratch'>,
  name: string,
  { parent, change }: { readonly parent?: string; readonly change: (directory: string) => void | Promise<void> },
): Promise<void> {
  const key = `making ${name}`
  await mounted(scratch, await snapshots.prepare(key, parent), change)
  await snapshots.commit(name, key)
}

let inputs = 0

/** A layer tar as a stack takes it. */
export async function layerInput(scratch: string, tar: Uint8Array, more: Partial<LayerInput> = {}): Promise<LayerInput> {
  inputs += 1
  const path = join(scratch, `layer-${process.pid}-${inputs}`)
  await writeFile(`${path}.tar`, tar)
  return { bytes: { path: `${path}.tar` }, indexPath: `${path}.index`, headersPath: `${path}.headers`, ...more }
}

/** Adds a layer tar to a stack. */
export async function addLayer(
  stack: LayerStack,
  { name, parent, tar }: { readonly name: string | NameOfLayer; readonly parent?: string | undefined; readonly tar: Uint8Array },
  scratch: string,
): Promise<AppliedLayer> {
  return stack.add(name, parent, await layerInput(scratch, tar))
}

/** Commits layer tars as a stack, base first; `${name}0` is the base. Resolves with the name of the top. */
export async function importLayers(
  { snapshots, scratch }: Pick<Subject, 'snapshots' | 'scratch'>,
  name: string,
  tars: readonly Uint8Array[],
): Promise<string> {
  await using stack = snapshots.importStack()
  const inputs = await Promise.all(tars.map(tar => layerInput(scratch, tar)))
  await Promise.all(inputs.map((input, n) => stack.add(`${name}${n}`, n === 0 ? undefined : `${name}${n - 1}`, input)))
  await stack.commit()
  return `${name}${tars.length - 1}`
}

export async function namesOf(snapshots: Snapshotter): Promise<readonly string[]> {
  return (await Array.fromAsync(snapshots.list())).map(({ name }) => name).toSorted()
}

/** Removes all states, those on top first. */
export async function removeAll(snapshots: Snapshotter): Promise<void> {
  const infos = await Array.fromAsync(snapshots.list())
  const parents = new Set(infos.map(({ parent }) => parent))
  if (infos.length === 0) return
  for (const { name } of infos) if (!parents.has(name)) await snapshots.remove(name)
  await removeAll(snapshots)
}
