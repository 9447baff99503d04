import { join } from 'node:path'
import { makeDirectory, StrataError } from '../base/index.ts'
import type { StorageDriver } from './driver.ts'
import { ErofsDriver } from './drivers/erofs.ts'
import { tryErofs } from './drivers/erofsTrial.ts'
import { Overlay2Driver } from './drivers/overlay2.ts'
import { tryOverlay } from './drivers/overlayTrial.ts'
import { VfsDriver } from './drivers/vfs.ts'

/** How well a driver fits this kernel, this disk and this user. */
export interface DriverFitness {
  readonly name: string
  readonly available: boolean
  /** Why it was chosen or not, as one sentence for `strata info`. */
  readonly reason: string
}

export interface DriverChoice {
  /** Undefined where no driver works: images are then kept as tars and nothing can be mounted. */
  readonly driver: StorageDriver | undefined
  readonly fitness: readonly DriverFitness[]
}

interface DriverKind {
  readonly name: string
  /** Why the driver cannot be used with this directory, or undefined when it can. */
  obstacle(directory: string): Promise<string | undefined>
  open(directory: string): StorageDriver
}

/** The drivers, the best first: the first one that works is the default. */
const DRIVERS: readonly DriverKind[] = [
  { name: 'erofs', obstacle: erofsObstacle, open: directory => new ErofsDriver(directory) },
  { name: 'overlay2', obstacle: overlayObstacle, open: directory => new Overlay2Driver(directory) },
  { name: 'vfs', obstacle: rootObstacle, open: directory => new VfsDriver(directory) },
]

/**
 * Chooses the storage driver of a store.
 *
 * @param root the directory of all drivers' states; each driver has a folder of its name in it
 * @param wanted the driver that the user or the store's record asks for
 * Rejects with `unsupported` (STRATA_DRIVER_UNAVAILABLE) when the wanted driver does not work here, and
 * with `invalidArgument` (STRATA_NO_SUCH_DRIVER) when there is none of that name.
 */
export async function selectDriver(root: string, wanted: string | undefined): Promise<DriverChoice> {
  if (wanted !== undefined && !DRIVERS.some(({ name }) => name === wanted)) {
    throw new StrataError('invalidArgument', 'STRATA_NO_SUCH_DRIVER', `Cannot use storage driver "${wanted}": there is no such driver`, {
      hint: `Choose one of ${DRIVERS.map(({ name }) => name).join(', ')}.`,
    })
  }
  const fitness: DriverFitness[] = []
  let driver: StorageDriver | undefined
  for (const kind of DRIVERS) {
    if (wanted !== undefined && kind.name !== wanted) {
      fitness.push({ name: kind.name, available: false, reason: `not tried: ${wanted} is asked for` })
      continue
    }
    if (driver !== undefined) {
      fitness.push({ name: kind.name, available: true, reason: `not tried: ${driver.name} comes first` })
      continue
    }
    const directory = join(root, kind.name)
    const obstacle = await kind.obstacle(directory)
    if (obstacle === undefined) driver = kind.open(directory)
    fitness.push({
      name: kind.name,
      available: obstacle === undefined,
      reason: obstacle ?? 'it works here and is the best of those that do',
    })
  }
  if (wanted !== undefined && driver === undefined) {
    throw new StrataError(
      'unsupported',
      'STRATA_DRIVER_UNAVAILABLE',
      `Cannot use storage driver "${wanted}": ${fitness.find(({ name }) => name === wanted)!.reason}`,
      {
        hint: 'Leave --storage-driver out to use the best driver that works here.',
      },
    )
  }
  return { driver, fitness }
}

/**
 * The driver of that name without trying what the kernel and the disk allow: for a store in which it
 * has worked before. Undefined for a user who is not root.
 */
export async function openDriver(root: string, name: string): Promise<StorageDriver | undefined> {
  const kind = DRIVERS.find(each => each.name === name)
  const directory = join(root, name)
  if (kind === undefined || (await rootObstacle(directory)) !== undefined) return undefined
  return kind.open(directory)
}

async function rootObstacle(directory: string): Promise<string | undefined> {
  if (process.geteuid?.() !== 0) return 'it needs root'
  await makeDirectory(directory)
  return undefined
}

async function overlayObstacle(directory: string): Promise<string | undefined> {
  return (await rootObstacle(directory)) ?? (await tryOverlay(directory))
}

async function erofsObstacle(directory: string): Promise<string | undefined> {
  return (await overlayObstacle(directory)) ?? (await tryErofs(directory))
}
