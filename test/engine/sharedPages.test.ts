import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { findProgram } from '../../src/base/index.ts'
import { mountsBelow, unmount } from '../../src/host/index.ts'
import { must, strata } from '../support/commands.ts'

/*
 * Containers of two images read a file of the base that both have: its pages are in memory once on erofs and overlay2,
 * and twice on vfs, where each state has files of its own. By mincore(2) and by what the containers' memory cgroups are charged.
 *
 * On erofs the kernel reads through the page cache of the layer's tar, so a page that has just been read is there a second
 * time, for all containers together, until the memory is wanted for something else (docs/adr/0006-reading-through-the-tar.md).
 */

const SIZE = 32 * 2 ** 20

const PAGES = `
import ctypes, mmap, os, sys
verb, path = sys.argv[1:]
size = os.path.getsize(path)
with open(path, 'rb') as file:
    if verb == 'evict':
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    pages = mmap.mmap(file.fileno(), size, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
    seen = ctypes.create_string_buffer(-(-size // mmap.PAGESIZE))
    start = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    assert ctypes.CDLL(None).mincore(ctypes.c_void_p(start), ctypes.c_size_t(size), seen) == 0
    print(sum(page & 1 for page in seen.raw) * mmap.PAGESIZE)
`
const resident = async (path: string): Promise<number> => Number(await must('python3', '-c', PAGES, 'count', path))
const evict = async (path: string): Promise<number> => Number(await must('python3', '-c', PAGES, 'evict', path))

/** Bytes of files that a process's memory cgroup is charged for. cgroup-v2.rst, cgroup-v1/memory.rst */
function chargedBytes(pid: string): number {
  const [, , v1] = /^(\d+):memory:(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8')) ?? []
  const [, v2] = /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8')) ?? []
  const stat = readFileSync(v1 === undefined ? `/sys/fs/cgroup${v2!}/memory.stat` : `/sys/fs/cgroup/memory${v1}/memory.stat`, 'utf8')
  return Number(/^(?:cache|file) (\d+)$/m.exec(stat)![1])
}

async function whyNot(): Promise<string | false> {
  if (process.getuid?.() !== 0) return 'containers need root'
  for (const program of ['crun', 'conmon', 'busybox', 'python3']) {
    if ((await findProgram(program)) === undefined) return `${program} is not installed`
  }
  const hasMemoryCgroup = existsSync('/sys/fs/cgroup/memory') || /\bmemory\b/.test(readFileSync('/proc/cgroups', 'utf8'))
  return hasMemoryCgroup ? false : 'there is no memory cgroup'
}
const skip = await whyNot()

for (const [driver, copies] of [
  ['erofs', 1],
  ['overlay2', 1],
  ['vfs', 2],
] as const) {
  const without = driver === 'erofs' && !/\berofs$/m.test(readFileSync('/proc/filesystems', 'utf8')) ? 'the kernel has no EROFS' : false
  test(
    `containers of two images with a common base have its pages in memory ${copies === 1 ? 'once' : 'twice'} on ${driver}`,
    { skip: skip === false ? without : skip },
    async t => {
      // Not in /tmp, which may be a tmpfs (Debian 13): EROFS mounts no file of one.
      const place = await mkdtemp('/var/tmp/strata-pages-')
      const root = join(place, 'root')
      const run = async (...args: readonly string[]): Promise<string> => {
        const { code, stdout, stderr } = await strata(['--root', root, '--storage-driver', driver, ...args])
        assert.equal(code, 0, `${args.join(' ')}: ${stderr}`)
        return stdout.trim()
      }
      try {
        const base = join(place, 'base')
        await mkdir(base)
        await copyFile((await findProgram('busybox'))!, join(base, 'busybox'))
        await writeFile(join(base, 'large'), Buffer.alloc(SIZE, 'page'))
        await must('tar', '-C', base, '-cf', `${base}.tar`, '.')
        await run('import', `${base}.tar`, 'base')
        for (const name of ['left', 'right']) {
          await run('run', '--name', name, '--network', 'none', 'base', '/busybox', 'sh', '-c', `echo ${name} > /${name}`)
          await run('commit', name, name)
          await run('rm', name)
        }
        const [left, right] = await Promise.all(
          ['left', 'right'].map(async name => {
            await run('run', '-d', '--name', name, '--network', 'none', name, '/busybox', 'sleep', '1000')
            const pid = await run('inspect', '--format', '{{.State.Pid}}', name)
            return {
              file: `/proc/${pid}/root/large`,
              charged: () => chargedBytes(pid),
              read: () => run('exec', name, '/busybox', 'md5sum', '/large'),
            }
          }),
        )
        for (const { file } of [left!, right!]) assert.equal(await evict(file), 0)

        const before = right!.charged()
        const sum = await left!.read()
        assert.equal(await resident(left!.file), SIZE)
        assert.equal(await resident(right!.file), copies === 1 ? SIZE : 0, 'what the other container has of it before it reads')
        // The kernel adds up what each processor has charged only now and then.
        assert.ok(left!.charged() > SIZE * 0.9)

        assert.equal(await right!.read(), sum)
        assert.equal(await resident(right!.file), SIZE)
        const more = right!.charged() - before
        t.diagnostic(`of ${SIZE} bytes, the first container is charged ${left!.charged()}, the second ${more}`)
        if (copies === 1) assert.ok(more < SIZE / 10)
        else assert.ok(more > SIZE * 0.9)
        await run('rm', '-f', 'left', 'right')
        assert.deepEqual(mountsBelow(root), [])
      } finally {
        await strata(['--root', root, '--storage-driver', driver, 'rm', '-f', 'left', 'right'])
        for (const { target } of mountsBelow(root).toReversed()) unmount(target, { detach: true })
        await rm(place, { recursive: true, force: true })
      }
    },
  )
}
