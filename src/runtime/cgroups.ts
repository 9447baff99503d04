import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { readIfExists } from '../base/index.ts'
import { type MountPoint, mountsBelow } from '../host/index.ts'

/** How control groups are mounted on this machine: `hybrid` is version 1 with a version 2 tree beside it. */
export type CgroupLayout = 'v1' | 'hybrid' | 'v2' | 'none'

export interface CgroupFacts {
  readonly layout: CgroupLayout
  /** Controllers that can limit a container: `memory`, `cpu`, `pids`, `cpuset`, … */
  readonly controllers: readonly string[]
  /** The limit of memory and swap together can be set. */
  readonly swapLimit: boolean
  /**
   * What crun must not see to work here, and is covered by an empty file system while it runs: the
   * version 2 tree of a hybrid layout, if that has controllers of its own, or all of /sys/fs/cgroup
   * where nothing can be made in it.
   */
  readonly covered?: string
}

const CGROUP_ROOT = '/sys/fs/cgroup'

/** Options of a version 1 mount that name no controller. */
const NOT_CONTROLLERS = new Set(['rw', 'ro', 'xattr', 'noprefix', 'clone_children', 'cpuset_v2_mode', 'relatime'])

/** Looks at the mounts at and below /sys/fs/cgroup and at the controllers they offer. */
export async function readCgroupFacts(): Promise<CgroupFacts> {
  const layout = cgroupLayout(mountsBelow(CGROUP_ROOT))
  const words = async (path: string): Promise<string[]> => {
    const text = (await readIfExists(path))?.toString() ?? ''
    return text.split(/\s+/).filter(word => word !== '')
  }
  if (layout.layout === 'v2') {
    const controllers = await words(join(CGROUP_ROOT, 'cgroup.controllers'))
    return { layout: 'v2', controllers, swapLimit: controllers.includes('memory') && (await readIfExists('/proc/swaps')) !== undefined }
  }
  if (layout.layout === 'none') return { layout: 'none', controllers: [], swapLimit: false, covered: CGROUP_ROOT }
  const memory = layout.targets.get('memory')
  const swapLimit = memory !== undefined && (await readdir(memory)).includes('memory.memsw.limit_in_bytes')
  const facts = { layout: layout.layout, controllers: [...layout.targets.keys()], swapLimit }
  if (layout.unified === undefined) return facts
  const own = await words(join(layout.unified, 'cgroup.controllers'))
  return own.length === 0 ? facts : { ...facts, covered: layout.unified }
}

interface MountedLayout {
  readonly layout: CgroupLayout
  /** Version 1 controllers → where each is mounted. */
  readonly targets: ReadonlyMap<string, string>
  readonly unified?: string
}

/**
 * Which layout a set of mounts makes. A layout that is mounted read-only, as in a container, is no
 * layout: nothing can be made in it.
 */
export function cgroupLayout(mounts: readonly MountPoint[]): MountedLayout {
  const writable = mounts.filter(mount => mount.options.includes('rw'))
  const targets = new Map<string, string>()
  let unified: string | undefined
  for (const mount of writable) {
    if (mount.type === 'cgroup2' && mount.target === CGROUP_ROOT) return { layout: 'v2', targets: new Map() }
    if (mount.type === 'cgroup2') unified = mount.target
    if (mount.type !== 'cgroup') continue
    for (const option of mount.superOptions) {
      if (!NOT_CONTROLLERS.has(option) && !option.includes('=')) targets.set(option, mount.target)
    }
  }
  if (targets.size === 0) return { layout: 'none', targets }
  return unified === undefined ? { layout: 'v1', targets } : { layout: 'hybrid', targets, unified }
}
