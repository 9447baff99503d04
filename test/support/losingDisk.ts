import assert from 'node:assert/strict'
import { closeSync, constants, mkdirSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import koffi from 'koffi'
import { findProgram, runProgram } from '../../src/base/index.ts'
import { must } from './commands.ts'

/** ext4's _IOR('X', 125, __u32): the file system stops at once; with flag 2 it loses what its journal has not committed. */
const EXT4_IOC_SHUTDOWN = 0x8004587d
const NO_LOG_FLUSH = 2

const mkfs = await findProgram('mkfs.ext4')

/** Why there can be no such disk here; false when there can. */
export const whyNoLosingDisk: string | false =
  process.getuid?.() !== 0 ? 'mounting a disk needs root' : mkfs === undefined ? 'there is no mkfs.ext4' : false

/** An ext4 file system in a file, whose power can be cut. */
export class LosingDisk implements AsyncDisposable {
  readonly #scratch: string
  readonly mountPoint: string
  #mounted = false
  #copies = 0

  private constructor(scratch: string) {
    this.#scratch = scratch
    this.mountPoint = join(scratch, 'mounted')
  }

  /** An empty one, not mounted yet. */
  static async make(megabytes: number): Promise<LosingDisk> {
    const disk = new LosingDisk(mkdtempSync(join(tmpdir(), 'strata-power-')))
    writeFileSync(disk.#file, '')
    truncateSync(disk.#file, megabytes * 1024 * 1024)
    mkdirSync(disk.mountPoint)
    await must(mkfs!, '-q', '-F', disk.#file)
    return disk
  }

  async mount(): Promise<void> {
    await must('mount', '-o', 'loop', this.#file, this.mountPoint)
    this.#mounted = true
  }

  /** @param how.lazy also with mounts on it, which a power loss would have ended */
  async unmount(how: { readonly lazy?: boolean } = {}): Promise<void> {
    await this.#umount(how.lazy === true ? ['-l'] : [])
    this.#mounted = false
    for (let tries = 0; tries < 20; tries += 1) {
      if ((await must('losetup', '-j', this.#file)) === '') return
      await sleep(50)
    }
    // Somebody has it in a mount namespace of their own. What is on the disk is all that a power loss leaves.
    const held = this.#file
    this.#copies += 1
    await must('cp', '--sparse=always', held, this.#file)
  }

  /** A layer store keeps the tars that it has read open for up to a second. */
  async #umount(flags: readonly string[]): Promise<void> {
    for (let tries = 0; ; tries += 1) {
      try {
        await must('umount', ...flags, this.mountPoint)
        return
      } catch (error) {
        if (tries === 50 || !String(error).includes('target is busy')) throw error
        await sleep(100)
      }
    }
  }

  /** Remembers what is on it. It must not be mounted. */
  async keep(): Promise<void> {
    await must('cp', '--sparse=always', this.#file, join(this.#scratch, 'kept'))
  }

  /** Makes it as it was when it was kept, and mounts it, whoever still has files of the former one open. */
  async restore(): Promise<void> {
    if (this.#mounted) await this.#umount(['-l'])
    rmSync(this.#file)
    this.#copies += 1
    await must('cp', '--sparse=always', join(this.#scratch, 'kept'), this.#file)
    await this.mount()
  }

  /** What pulling the plug does, as far as a kernel can do it to itself: nothing reaches the disk any more. */
  losePower(): void {
    const ioctl = koffi.load('libc.so.6').func('int ioctl(int fd, unsigned long request, uint32_t *flags)')
    const directory = openSync(this.mountPoint, constants.O_RDONLY)
    try {
      assert.equal(ioctl(directory, EXT4_IOC_SHUTDOWN, [NO_LOG_FLUSH]), 0)
    } finally {
      closeSync(directory)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#mounted) await runProgram('umount', ['-l', this.mountPoint])
    rmSync(this.#scratch, { recursive: true, force: true })
  }

  get #file(): string {
    return join(this.#scratch, `disk${this.#copies}`)
  }
}
