import { posix } from 'node:path'
import { StrataError } from '../base/index.ts'
import type { BundleMount, BundleOptions, RuntimeFacts } from './bundleOptions.ts'
import { isKernelSince } from './kernelVersion.ts'
import type { RuntimeMount } from './runtimeSpec.ts'

const SHM_BYTES = 64 * 1024 * 1024

/** Where an init program of the host is seen in the container; docker's place. */
export const INIT_TARGET = '/sbin/docker-init'

/**
 * All mounts of a container: docker's own, then the user's, parents before what is below them. What
 * the user mounts takes the place of ours at the same target, and of ours below it under /dev.
 */
export function planMounts(options: BundleOptions, facts: RuntimeFacts): readonly RuntimeMount[] {
  const own = (options.mounts ?? []).map(mount => planMount(mount, facts))
  const targets = new Set(own.map(mount => mount.destination))
  const kept = defaultMounts(options, facts).filter(
    ({ destination }) => !targets.has(destination) && !(targets.has('/dev') && destination.startsWith('/dev/')),
  )
  const init: RuntimeMount[] =
    options.initProgram === undefined
      ? []
      : [{ destination: INIT_TARGET, type: 'bind', source: options.initProgram, options: ['bind', 'ro', 'rprivate'] }]
  const sorted = own.toSorted((a, b) => depth(a.destination) - depth(b.destination))
  return [...kept, ...init, ...sorted]
}

function depth(target: string): number {
  return target === '/' ? 0 : target.split('/').length
}

/** runtime-spec config-linux.md#default-filesystems, with docker's options. */
function defaultMounts(options: BundleOptions, facts: RuntimeFacts): readonly RuntimeMount[] {
  const ipc = options.namespaces?.ipc ?? 'private'
  const privileged = options.process.privileged === true
  const access = privileged && options.readonlyRootfs !== true ? 'rw' : 'ro'
  const mounts: RuntimeMount[] = [
    { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
    { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', access] },
  ]
  if (facts.cgroups.layout !== 'none') {
    mounts.push({ destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: [access, 'nosuid', 'noexec', 'nodev'] })
  }
  // A message queue file system shows the queues of the IPC namespace that it is mounted in.
  mounts.push({ destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] })
  const size = `size=${options.shmBytes ?? SHM_BYTES}`
  mounts.push(
    ipc === 'host'
      ? { destination: '/dev/shm', type: 'bind', source: '/dev/shm', options: ['rbind', 'nosuid', 'noexec', 'nodev'] }
      : { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: ['nosuid', 'noexec', 'nodev', 'mode=1777', size] },
  )
  return mounts
}

/** What a mount(8) word of a tmpfs switches off among our own. */
const OPPOSITES: Readonly<Record<string, string>> = { exec: 'noexec', suid: 'nosuid', dev: 'nodev' }

function planMount(mount: BundleMount, facts: RuntimeFacts): RuntimeMount {
  const destination = planTarget(mount.target)
  if (mount.kind === 'tmpfs') {
    const given = mount.options ?? []
    const taken = new Set(given.map(option => OPPOSITES[option]))
    const ours = ['noexec', 'nosuid', 'nodev'].filter(option => !taken.has(option) && !given.includes(option))
    return { destination, type: 'tmpfs', source: 'tmpfs', options: [...ours, ...given] }
  }
  if (!mount.source.startsWith('/')) throw invalidMount(mount.source, 'the source is not an absolute path')
  const recursive = mount.nonRecursive !== true
  // mount_setattr(2), by which what is mounted below a bind becomes read-only too, is in 5.12.
  return {
    destination,
    type: 'bind',
    source: mount.source,
    options: [
      recursive ? 'rbind' : 'bind',
      ...(mount.readonly === true ? ['ro', ...(recursive && isKernelSince(facts.kernelRelease, 5, 12) ? ['rro'] : [])] : ['rw']),
      mount.propagation ?? 'rprivate',
      ...(mount.options ?? []),
    ],
  }
}

/** Files of /proc that only report; lxcfs mounts a container's own figures on them. */
const REPORTS = new Set(['cpuinfo', 'diskstats', 'loadavg', 'meminfo', 'slabinfo', 'stat', 'swaps', 'uptime'].map(name => `/proc/${name}`))

/** A normalized place in the container. /proc itself and most below it are the runtime's alone: hostile #86. */
function planTarget(target: string): string {
  if (!target.startsWith('/')) throw invalidMount(target, 'the target is not an absolute path')
  if (target.includes('\0')) throw invalidMount('', 'the target has a NUL byte')
  const normal = posix.normalize(target).replace(/(?!^)\/$/, '')
  if (normal === '/') throw invalidMount(target, 'the target is the root of the container')
  if ((normal === '/proc' || normal.startsWith('/proc/')) && !REPORTS.has(normal)) throw invalidMount(target, 'the target is in /proc')
  return normal
}

function invalidMount(path: string, state: string): StrataError {
  return new StrataError('invalidArgument', 'STRATA_INVALID_MOUNT', `Cannot mount "${path}": ${state}`)
}

/** The root's propagation must not stop what a bind is asked to pass on. */
export function rootPropagation(mounts: readonly BundleMount[]): 'shared' | 'slave' | undefined {
  const asked = new Set(mounts.map(mount => (mount.kind === 'bind' ? (mount.propagation ?? 'rprivate') : 'rprivate')))
  if (asked.has('shared') || asked.has('rshared')) return 'shared'
  return asked.has('slave') || asked.has('rslave') ? 'slave' : undefined
}
