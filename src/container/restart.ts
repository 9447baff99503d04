import type { Installation } from './installation.ts'
import type { ContainerRecord } from './record.ts'
import type { StopOptions } from './requests.ts'
import { allowRemount } from './rootfs.ts'
import { startContainer } from './start.ts'
import { stopContainer } from './stop.ts'

/** Stops a container that runs and starts it, in the background. One that was to remove itself lives on. */
export async function restartContainer(installation: Installation, record: ContainerRecord, options: StopOptions = {}): Promise<void> {
  installation.requireLayerOf(record, 'restart')
  await stopContainer(installation, record, options, { restarts: true })
  await allowRemount(installation, record.id)
  await startContainer(installation, record.id)
}
