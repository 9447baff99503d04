import { mkdir, open, readdir, rm, rmdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { must } from '../programs.ts'
import { unmountBelow } from './unmount.ts'

/** Sparse: what is not written takes no space. Room for the largest image in every form that an engine keeps. */
const DISK_BYTES = 16 * 1024 ** 3

let serial = 0

/**
 * A new ext4 on a loop device. Stores that are measured cold live on one each, because ext4 creates
 * files 2 to 7 times more slowly for a while after a mass deletion, and because a sync of it costs
 * what this store wrote and nothing else.
 */
export class FreshDisk implements AsyncDisposable {
  readonly mountPoint: string
  readonly #image: string

  private constructor(mountPoint: string, image: string) {
    this.mountPoint = mountPoint
    this.#image = image
  }

  /**
   * @param images directory for the loop device's file
   * @param mounts directory below which it is mounted
   */
  static async make(images: string, mounts: string): Promise<FreshDisk> {
    serial += 1
    const name = `disk-${process.pid}-${serial}`
    const disk = new FreshDisk(join(mounts, name), join(images, `${name}.img`))
    await mkdir(disk.mountPoint, { recursive: true })
    await mkdir(images, { recursive: true })
    try {
      const file = await open(disk.#image, 'w')
      await file.truncate(DISK_BYTES)
      await file.close()
      await must('mkfs.ext4', ['-q', '-F', '-m', '0', '-E', 'lazy_itable_init=1,lazy_journal_init=1', disk.#image])
      // Otherwise the host keeps in memory what the disk has been given, and writes it at the first sync of anything.
      const device = (await must('losetup', ['--find', '--show', '--direct-io=on', disk.#image])).trim()
      try {
        // Without noinit_itable a kernel thread zeroes inode tables while we measure.
        await must('mount', ['-o', 'noinit_itable', device, disk.mountPoint])
      } finally {
        // It goes with the mount.
        await must('losetup', ['--detach', device])
      }
      return disk
    } catch (error) {
      await disk[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Makes all that was written durable; resolves with the seconds that took. */
  async sync(): Promise<number> {
    const start = performance.now()
    await must('sync', ['-f', this.mountPoint])
    return (performance.now() - start) / 1000
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await unmountBelow(this.mountPoint)
    await rm(this.#image, { force: true })
    await rmdir(this.mountPoint)
  }
}

/** Takes away the disks of benchmark processes that were killed. */
export async function sweepDisks(images: string, mounts: string): Promise<void> {
  const names = new Set<string>()
  for (const directory of [images, mounts]) {
    for (const name of await readdir(directory).catch(() => [])) {
      const pid = /^disk-(\d+)-\d+(\.img)?$/.exec(name)?.[1]
      if (pid !== undefined && !isAlive(Number(pid))) names.add(basename(name, '.img'))
    }
  }
  for (const name of names) {
    await unmountBelow(join(mounts, name))
    await rm(join(images, `${name}.img`), { force: true })
    await rmdir(join(mounts, name)).catch(() => undefined)
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
