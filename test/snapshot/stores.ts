import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Metadata, openMetadata, openRootDirectory } from '../../src/metadata/index.ts'
import { DriverSnapshotter, openDriver, type Snapshotter, type StorageDriver } from '../../src/snapshot/index.ts'

/** A driver's states and records in one root, as the engine has them. */
export async function openStore(root: string, driverName: string): Promise<Snapshotter> {
  const { driver, metadata } = await openParts(root, driverName)
  return Object.assign(new DriverSnapshotter(driver, metadata), {
    async [Symbol.asyncDispose](): Promise<void> {
      metadata.close()
    },
  })
}

export async function openParts(
  root: string,
  driverName: string,
): Promise<{ readonly driver: StorageDriver; readonly metadata: Metadata }> {
  const metadata = openMetadata(openRootDirectory(root))
  const driver = await openDriver(join(root, 'snapshots'), driverName)
  if (driver === undefined) throw new Error(`no driver ${driverName} here`)
  return { driver, metadata }
}

export async function statesOfDriver(root: string, driverName: string): Promise<number> {
  return (await readdir(join(root, 'snapshots', driverName))).length
}
