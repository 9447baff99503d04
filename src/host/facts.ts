import { existsSync, readFileSync } from 'node:fs'
import { release as kernelRelease } from 'node:os'

/** What this kernel and this process can do, as far as it can be told without trying. */
export interface KernelFacts {
  /** As `uname -r` prints it. */
  readonly release: string
  readonly version: { readonly major: number; readonly minor: number }
  /** File systems that the kernel has, or has a module for. */
  readonly overlay: boolean
  readonly erofs: boolean
  /** The file system is there, and /dev/fuse too. */
  readonly fuse: boolean
  /** CAP_SYS_ADMIN is in effect, in whatever user namespace this is. */
  readonly canMount: boolean
  /** This process lives in a user namespace of its own, where some mounts and all real devices are denied. */
  readonly userNamespace: boolean
}

/** Bit of CAP_SYS_ADMIN. capabilities(7) */
const CAP_SYS_ADMIN = 21n

/** Reads the facts afresh; costs a few small files of /proc, and no system call beyond Node's. */
export function kernelFacts(): KernelFacts {
  const release = kernelRelease()
  const [, major = '0', minor = '0'] = /^(\d+)\.(\d+)/.exec(release) ?? []
  const known = readOr('/proc/filesystems', '')
  const modules = `${readOr(`/lib/modules/${release}/modules.dep`, '')}\n${readOr(`/lib/modules/${release}/modules.builtin`, '')}`
  const has = (name: string, module = name): boolean =>
    known.split('\n').some(line => line.endsWith(`\t${name}`)) || new RegExp(`/${module}\\.ko\\b`).test(modules)
  return {
    release,
    version: { major: Number(major), minor: Number(minor) },
    overlay: has('overlay'),
    erofs: has('erofs'),
    fuse: has('fuse') && existsSync('/dev/fuse'),
    canMount: ((effectiveCapabilities() >> CAP_SYS_ADMIN) & 1n) === 1n,
    userNamespace: !isInitialUserNamespace(readOr('/proc/self/uid_map', '')),
  }
}

/** The first user namespace maps all 2^32 - 1 users to themselves. user_namespaces(7) */
function isInitialUserNamespace(uidMap: string): boolean {
  return uidMap === '' || /^\s*0\s+0\s+4294967295\s*$/.test(uidMap)
}

function effectiveCapabilities(): bigint {
  const [, hex = '0'] = /^CapEff:\s*([0-9a-f]+)$/m.exec(readOr('/proc/self/status', '')) ?? []
  return BigInt(`0x${hex}`)
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return otherwise
  }
}
