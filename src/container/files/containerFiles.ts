import { existsSync } from 'node:fs'
import { posix } from 'node:path'
import { isStrataError } from '../../base/index.ts'
import { close, ConfinedRoot } from '../../host/index.ts'
import type { Installation } from '../installation.ts'
import type { ContainerRecord } from '../record.ts'
import { borrowRootfs, type MountedRootfs } from '../rootfs.ts'
import { refreshLocked } from '../settle.ts'
import { type MountedPlace, MountedTree } from './mountedTree.ts'

/** The files of a container, running or not, with its volumes and binds where it sees them. */
export interface OpenedFiles extends AsyncDisposable {
  readonly tree: MountedTree
}

/**
 * Opens the files of a container. While a container that does not run is open, nobody can start it.
 * What a process of the container has mounted itself, and its tmpfs, is not seen.
 */
export async function openFiles(installation: Installation, record: ContainerRecord): Promise<OpenedFiles> {
  const { id } = record
  const lock = await installation.locks.acquire(id)
  let rootfs: MountedRootfs
  try {
    await refreshLocked(installation, id, lock)
    rootfs = await borrowRootfs(installation, id, lock)
  } catch (error) {
    lock[Symbol.dispose]()
    throw error
  }
  try {
    // Held until the tree has opened them itself.
    using pins = new DisposableStack()
    const tree = new MountedTree(await placesOf(installation, record, { rootfs: rootfs.path, pins }))
    return {
      tree,
      [Symbol.asyncDispose]: async () => {
        await tree.close()
        await rootfs[Symbol.asyncDispose]()
      },
    }
  } catch (error) {
    await rootfs[Symbol.asyncDispose]()
    throw error
  }
}

async function placesOf(
  installation: Installation,
  record: ContainerRecord,
  { rootfs, pins }: { readonly rootfs: string; readonly pins: DisposableStack },
): Promise<readonly MountedPlace[]> {
  const readOnly = record.definition.options.readOnly === true
  const { paths } = installation
  const places: MountedPlace[] = [{ path: '', source: rootfs, readOnly }]
  const asked: MountedPlace[] = []
  for (const name of ['hosts', 'hostname', 'resolv.conf'] as const) {
    const source = paths.etc(record.id, name)
    if (existsSync(source)) asked.push({ path: `/etc/${name}`, source, readOnly })
  }
  for (const mount of record.definition.mounts) {
    if (mount.type === 'bind') asked.push({ path: mount.target, source: mount.source, readOnly: mount.readOnly })
    if (mount.type === 'volume') {
      asked.push({
        path: mount.target,
        source: volumeSource(paths.volumeData(mount.volume), mount.subpath, pins),
        readOnly: mount.readOnly,
      })
    }
  }
  // A target may lead through links of what is mounted above it.
  for (const place of asked.sort((a, b) => depth(a.path) - depth(b.path))) {
    const path = await canonicalTarget(places, place.path)
    if (path === undefined || path === '') continue
    const same = places.findIndex(each => each.path === path)
    if (same !== -1) places.splice(same, 1)
    places.push({ ...place, path })
  }
  return places
}

/** Where a volume, or the part of it that is mounted, is; a part is held by a descriptor and never outside of the volume. */
export function volumeSource(data: string, subpath: string | undefined, pins: DisposableStack): string {
  if (subpath === undefined) return data
  using root = new ConfinedRoot(data)
  return `/proc/self/fd/${pins.adopt(root.openPath(subpath), close)}`
}

/** Where a mount goes; what is missing on the way the start makes. undefined for a target that the container could not be started with either. */
async function canonicalTarget(places: readonly MountedPlace[], target: string): Promise<string | undefined> {
  const tree = new MountedTree(places)
  const parts = posix.normalize(target).split('/')
  try {
    for (let there = parts.length; there > 0; there -= 1) {
      const way = parts.slice(0, there).join('/')
      const found = await tree.resolve(way, { followLast: true }).catch(unlessMissing)
      if (found !== undefined) return posix.join(found.path, ...parts.slice(there))
    }
    return undefined
  } catch (error) {
    if (isStrataError(error)) return undefined
    throw error
  } finally {
    await tree.close()
  }
}

function unlessMissing(error: unknown): undefined {
  if (!isStrataError(error, 'notFound')) throw error
}

const depth = (path: string): number => posix.normalize(path).split('/').length
