import assert from 'node:assert/strict'
import { closeSync, constants, mkdirSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import koffi from 'koffi'
import { findProgram, runProgram } from '../../src/base/index.ts'
import { openContent } from '../../src/content/index.ts'
import { openMetadata, openRootDirectory } from '../../src/metadata/index.ts'
import { digestOf } from '../../src/oci/index.ts'
import { startProcess, testBytes } from '../../src/testing/contentStoreProcess.ts'

/** ext4's _IOR('X', 125, __u32): the file system stops at once; with flag 2 it loses what its journal has not committed. */
const EXT4_IOC_SHUTDOWN = 0x8004587d
const NO_LOG_FLUSH = 2

const mkfs = await findProgram('mkfs.ext4')
const skip = process.getuid?.() !== 0 ? 'mounting a disk needs root' : mkfs === undefined ? 'there is no mkfs.ext4' : false

async function run(program: string, ...args: readonly string[]): Promise<void> {
  const result = await runProgram(program, args)
  assert.equal(result.code, 0, `${program} ${args.join(' ')}: ${result.stderr}`)
}

/** What pulling the plug does, as far as a kernel can do it to itself. */
function losePower(mountPoint: string): void {
  const ioctl = koffi.load('libc.so.6').func('int ioctl(int fd, unsigned long request, uint32_t *flags)')
  const directory = openSync(mountPoint, constants.O_RDONLY)
  try {
    assert.equal(ioctl(directory, EXT4_IOC_SHUTDOWN, [NO_LOG_FLUSH]), 0)
  } finally {
    closeSync(directory)
  }
}

test('hostile #68, #69: what put() acknowledged survives a power loss, and what it did not is not seen', { skip }, async t => {
  const scratch = mkdtempSync(join(tmpdir(), 'strata-power-'))
  const disk = join(scratch, 'disk')
  const mountPoint = join(scratch, 'mounted')
  const root = join(mountPoint, 'root')
  let mounted = false
  try {
    writeFileSync(disk, '')
    truncateSync(disk, 256 * 1024 * 1024)
    mkdirSync(mountPoint)
    await run(mkfs!, '-q', '-F', disk)
    const acknowledged = new Set<string>()
    for (let round = 0; round < 4; round += 1) {
      await run('mount', '-o', 'loop', disk, mountPoint)
      mounted = true
      const blobs = Array.from({ length: 60 }, (_, n) => {
        const fill = round * 100 + n
        const bytes = testBytes(fill, n % 2 === 0 ? 3_000 : 200_000)
        return { fill, target: { mediaType: 'application/octet-stream', digest: digestOf(bytes), size: bytes.length } }
      })
      const child = startProcess(new URL('diskStoreModule.ts', import.meta.url), root, { action: 'put', blobs })
      let lines = ''
      child.process.stdout.on('data', (chunk: Buffer) => {
        lines += chunk.toString()
      })
      await child.nextLine()
      await sleep(100 + Math.random() * 200)
      // Stopped in the middle of whatever it does, it cannot complain about the disk either.
      child.process.kill('SIGSTOP')
      losePower(mountPoint)
      child.process.kill('SIGKILL')
      await child.ended().catch(() => undefined)
      await run('umount', mountPoint)
      mounted = false
      for (const digest of lines.split('\n').slice(0, -1)) acknowledged.add(digest)

      await run('mount', '-o', 'loop', disk, mountPoint)
      mounted = true
      {
        using metadata = openMetadata(openRootDirectory(root))
        const content = openContent({ root, metadata })
        for await (const problem of content.verify()) assert.equal(problem.severity, 'garbage', `${problem.path} is ${problem.state}`)
        const stored = new Set<string>()
        for await (const blob of content.list()) stored.add(blob.digest)
        assert.deepEqual(
          [...acknowledged].filter(digest => !stored.has(digest)),
          [],
        )
      }
      await run('umount', mountPoint)
      mounted = false
    }
    t.diagnostic(`${acknowledged.size} blobs acknowledged before 4 power losses`)
    assert.ok(acknowledged.size > 8)
  } finally {
    if (mounted) await runProgram('umount', ['-l', mountPoint])
    rmSync(scratch, { recursive: true, force: true })
  }
})
