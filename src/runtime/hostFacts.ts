import { lstat, readdir, readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { errnoOf } from '../base/index.ts'
import { kernelFacts } from '../host/index.ts'
import type { RuntimeFacts } from './bundleOptions.ts'
import { capabilitiesOf } from './capabilities.ts'
import { readCgroupFacts } from './cgroups.ts'
import type { RuntimeDevice } from './runtimeSpec.ts'

/** Node's name of an architecture → OCI's (GOARCH). */
const ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: 'amd64',
  ia32: '386',
  ppc64: 'ppc64le',
  mipsel: 'mipsle',
  loong64: 'loong64',
}

/**
 * Reads what of this machine decides how a container runs.
 *
 * @param wanted.devices also look for the device nodes below /dev; only privileged containers need them
 */
export async function readRuntimeFacts(wanted: { readonly devices?: boolean } = {}): Promise<RuntimeFacts> {
  const [cgroups, status, limits, devices] = await Promise.all([
    readCgroupFacts(),
    readFile('/proc/self/status', 'utf8'),
    readFile('/proc/self/limits', 'utf8'),
    wanted.devices === true ? hostDevices('/dev') : [],
  ])
  return {
    architecture: ARCHITECTURES[process.arch] ?? process.arch,
    kernelRelease: kernelFacts().release,
    processors: availableParallelism(),
    cgroups,
    capabilities: capabilitiesOf(BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`)),
    hardLimits: parseHardLimits(limits),
    seccomp: /^Seccomp:/m.test(status),
    devices,
  }
}

/** The rows of /proc/<pid>/limits. proc_pid_limits(5) */
const LIMIT_ROWS: Readonly<Record<string, string>> = {
  'Max cpu time': 'RLIMIT_CPU',
  'Max file size': 'RLIMIT_FSIZE',
  'Max data size': 'RLIMIT_DATA',
  'Max stack size': 'RLIMIT_STACK',
  'Max core file size': 'RLIMIT_CORE',
  'Max resident set': 'RLIMIT_RSS',
  'Max processes': 'RLIMIT_NPROC',
  'Max open files': 'RLIMIT_NOFILE',
  'Max locked memory': 'RLIMIT_MEMLOCK',
  'Max address space': 'RLIMIT_AS',
  'Max file locks': 'RLIMIT_LOCKS',
  'Max pending signals': 'RLIMIT_SIGPENDING',
  'Max msgqueue size': 'RLIMIT_MSGQUEUE',
  'Max nice priority': 'RLIMIT_NICE',
  'Max realtime priority': 'RLIMIT_RTPRIO',
  'Max realtime timeout': 'RLIMIT_RTTIME',
}

/** Hard limits by name, from the text of /proc/<pid>/limits; undefined is unlimited. */
export function parseHardLimits(text: string): Record<string, number | undefined> {
  const limits: Record<string, number | undefined> = {}
  for (const line of text.split('\n')) {
    const [, row = '', hard = ''] = /^(Max .*?)\s{2,}\S+\s+(\S+)/.exec(line) ?? []
    const name = LIMIT_ROWS[row]
    if (name !== undefined) limits[name] = hard === 'unlimited' ? undefined : Number(hard)
  }
  return limits
}

/** Directories of /dev that every container has for itself. */
const OWN_DIRECTORIES = new Set(['pts', 'shm', 'mqueue', 'fd', 'hugepages'])

async function hostDevices(directory: string): Promise<RuntimeDevice[]> {
  const found: RuntimeDevice[] = []
  for (const name of await readdir(directory)) {
    const path = join(directory, name)
    if (directory === '/dev' && (OWN_DIRECTORIES.has(name) || name === 'console')) continue
    try {
      const stats = await lstat(path)
      if (stats.isDirectory()) found.push(...(await hostDevices(path)))
      if (!stats.isCharacterDevice() && !stats.isBlockDevice()) continue
      found.push({
        type: stats.isBlockDevice() ? 'b' : 'c',
        path,
        ...deviceNumber(stats.rdev),
        fileMode: stats.mode & 0o777,
        uid: stats.uid,
        gid: stats.gid,
      })
    } catch (error) {
      // Devices come and go.
      if (errnoOf(error) !== 'ENOENT') throw error
    }
  }
  return found
}

/** The kernel's packing of a device number. makedev(3) */
function deviceNumber(rdev: number): { major: number; minor: number } {
  const packed = BigInt(rdev)
  return {
    major: Number(((packed >> 8n) & 0xfffn) | ((packed >> 32n) & 0xfffff000n)),
    minor: Number((packed & 0xffn) | ((packed >> 12n) & 0xffffff00n)),
  }
}
