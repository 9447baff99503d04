import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { StrataError } from '../base/index.ts'
import type { StorageDriver } from './driver.ts'
import { ErofsDriver } from './drivers/erofs.ts'
import { tryErofs } from './drivers/erofsTrial.ts'
import { Overlay2Driver } from './drivers/overlay2.ts'
import { tryOverlay } from './drivers/overlayTrial.ts'
import { VfsDriver } from './drivers/vfs.ts'

/** Whether a driver works on this kernel, on this disk and for this user. */
export interface DriverTrial {
  readonly name: string
  /** Why it does not, undefined where it does. */
  readonly obstacle: string | undefined
}

interface DriverKind {
  readonly name: string
  /** Why root cannot use the driver on the disk of this directory, or undefined when that can be. */
  obstacle(directory: string): Promise<string | undefined>
  open(directory: string): StorageDriver
}

/** The drivers, the best first: the first one that works is the default. */
const DRIVERS: readonly DriverKind[] = [
  { name: 'erofs', obstacle: erofsObstacle, open: directory => new ErofsDriver(directory) },
  { name: 'overlay2', obstacle: tryOverlay, open: directory => new Overlay2Driver(directory) },
  { name: 'vfs', obstacle: async () => undefined, open: directory => new VfsDriver(directory) },
]

/**
 * Chooses the storage driver of a store: the one that is wanted, else the best that works. Undefined where none does: images
 * are then kept as tars and nothing can be mounted.
 *
 * @param root the directory of all drivers' states; each driver has a folder of its name in it
 * @param wanted the driver that the user asks for
 * Rejects with `unsupported` (STRATA_DRIVER_UNAVAILABLE) when the wanted driver does not work here, and
 * with `invalidArgument` (STRATA_NO_SUCH_DRIVER) when there is none of that name.
 */
export async function selectDriver(root: string, wanted: string | undefined): Promise<StorageDriver | undefined> {
  if (wanted === undefined) {
    for (const kind of DRIVERS) if ((await obstacleTo(kind, root)) === undefined) return openDriver(root, kind.name)
    return undefined
  }
  const kind = DRIVERS.find(({ name }) => name === wanted)
  if (kind === undefined) {
    throw new StrataError('invalidArgument', 'STRATA_NO_SUCH_DRIVER', `Cannot use storage driver "${wanted}": there is no such driver`, {
      hint: `Choose one of ${DRIVERS.map(({ name }) => name).join(', ')}.`,
    })
  }
  const obstacle = await obstacleTo(kind, root)
  if (obstacle !== undefined) {
    throw new StrataError('unsupported', 'STRATA_DRIVER_UNAVAILABLE', `Cannot use storage driver "${wanted}": ${obstacle}`, {
      hint: 'Leave --storage-driver out to use the best driver that works here.',
    })
  }
  return openDriver(root, wanted)
}

/** Tries every driver, the best first, on the disk where a store has its states or would have them. */
export async function tryDrivers(root: string): Promise<readonly DriverTrial[]> {
  const trials: DriverTrial[] = []
  for (const kind of DRIVERS) trials.push({ name: kind.name, obstacle: await obstacleTo(kind, root) })
  return trials
}

/**
 * The driver of that name without trying what the kernel and the disk allow: for a store in which it
 * has worked before. Undefined for a user who is not root.
 */
export async function openDriver(root: string, name: string): Promise<StorageDriver | undefined> {
  const kind = DRIVERS.find(each => each.name === name)
  if (kind === undefined || !isRoot()) return undefined
  const directory = join(root, name)
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  return kind.open(directory)
}

async function obstacleTo(kind: DriverKind, root: string): Promise<string | undefined> {
  if (!isRoot()) return 'it needs root'
  // A driver that is not used gets no directory; one that is may have a disk of its own there.
  const own = join(root, kind.name)
  const place = existsSync(own) ? own : root
  mkdirSync(place, { recursive: true, mode: 0o700 })
  return kind.obstacle(place)
}

function isRoot(): boolean {
  return process.geteuid?.() === 0
}

async function erofsObstacle(directory: string): Promise<string | undefined> {
  return (await tryOverlay(directory)) ?? (await tryErofs(directory))
}
