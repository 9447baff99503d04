/** A mount as data: what containerd's `Mount` says. Drivers compute it; only `mount` performs it. */
export interface Mount {
  /** A file system type, or `bind`; ignored where the options say `bind` or `rbind`. */
  readonly type: string
  readonly source: string
  /** As in fstab, one option each: `ro`, `nosuid`, `rbind`, `rprivate`, `lowerdir=…`. */
  readonly options: readonly string[]
}

/** What a list of options asks of the kernel. */
export interface MountPlan {
  readonly bind: 'no' | 'one' | 'recursive'
  readonly remount: boolean
  /** MS_* flags to set. */
  readonly flags: number
  /** MS_* flags that were named to be off, such as by `rw` or `exec`. */
  readonly cleared: number
  /** In the order in which they are to be applied. */
  readonly propagation: readonly Propagation[]
  /** Options among the flags that are the file system's as well as the mount's. */
  readonly superFlags: readonly string[]
  /** `rro`: every mount below is read-only too. */
  readonly recursiveReadOnly: boolean
  /** What the file system itself understands. */
  readonly data: readonly string[]
}

/** What a mount hands on to its copies in other namespaces. mount_namespaces(7) */
export interface Propagation {
  readonly type: typeof MS_UNBINDABLE | typeof MS_PRIVATE | typeof MS_SLAVE | typeof MS_SHARED
  /** Also for all mounts below. */
  readonly recursive: boolean
}

export const MS_REMOUNT = 32
const MS_RDONLY = 1
const MS_NOATIME = 1024
const MS_RELATIME = 1 << 21
const MS_STRICTATIME = 1 << 24
const MS_UNBINDABLE = 131072
const MS_PRIVATE = 262144
const MS_SLAVE = 524288
const MS_SHARED = 1048576

/** Options that are flags of the mount: [flag, and whether the option sets it]. mount(2), mount(8) */
const FLAGS: Readonly<Record<string, readonly [flag: number, set: boolean]>> = {
  ro: [MS_RDONLY, true],
  rw: [MS_RDONLY, false],
  nosuid: [2, true],
  suid: [2, false],
  nodev: [4, true],
  dev: [4, false],
  noexec: [8, true],
  exec: [8, false],
  sync: [16, true],
  async: [16, false],
  dirsync: [128, true],
  nosymfollow: [256, true],
  symfollow: [256, false],
  noatime: [MS_NOATIME, true],
  atime: [MS_NOATIME, false],
  nodiratime: [2048, true],
  diratime: [2048, false],
  silent: [32768, true],
  loud: [32768, false],
  relatime: [MS_RELATIME, true],
  norelatime: [MS_RELATIME, false],
  strictatime: [MS_STRICTATIME, true],
  nostrictatime: [MS_STRICTATIME, false],
  lazytime: [1 << 25, true],
  nolazytime: [1 << 25, false],
}

/** Options that the new mount calls take as the file system's own flags beside the mount's attributes. */
const SUPER_FLAGS: ReadonlySet<string> = new Set(['ro', 'sync', 'dirsync', 'lazytime'])

const PROPAGATION: Readonly<Record<string, Propagation['type']>> = {
  unbindable: MS_UNBINDABLE,
  private: MS_PRIVATE,
  slave: MS_SLAVE,
  shared: MS_SHARED,
}

function propagationOf(option: string): Propagation | undefined {
  const recursive = option.startsWith('r')
  const name = recursive ? option.slice(1) : option
  const type = Object.hasOwn(PROPAGATION, name) ? PROPAGATION[name] : undefined
  return type === undefined ? undefined : { type, recursive }
}

/** MS_* flags and the attributes of mount_setattr(2) that say the same. */
const ATTRIBUTES: readonly (readonly [flag: number, attribute: number])[] = [
  [MS_RDONLY, 1],
  [2, 2],
  [4, 4],
  [8, 8],
  [256, 0x200000],
  [2048, 0x80],
]
const MOUNT_ATTR_NOATIME = 0x10
const MOUNT_ATTR_STRICTATIME = 0x20
const MOUNT_ATTR__ATIME = 0x70

/** The attributes to set and to clear on a mount. How access times are kept is one value among three, cleared before it is set. */
export function attributesOf(plan: MountPlan): { readonly set: number; readonly clear: number } {
  let set = 0
  let clear = 0
  for (const [flag, attribute] of ATTRIBUTES) {
    if (plan.flags & flag) set |= attribute
    if (plan.cleared & flag) clear |= attribute
  }
  const atimeNamed = ((plan.flags | plan.cleared) & (MS_NOATIME | MS_RELATIME | MS_STRICTATIME)) !== 0
  if (atimeNamed) clear |= MOUNT_ATTR__ATIME
  if (plan.flags & MS_NOATIME) set |= MOUNT_ATTR_NOATIME
  else if (plan.flags & MS_STRICTATIME) set |= MOUNT_ATTR_STRICTATIME
  return { set, clear }
}

/** Reads options as mount(8) does: the later of two that contradict wins, what is not known belongs to the file system. */
export function planMount(options: readonly string[]): MountPlan {
  let flags = 0
  let cleared = 0
  let bind: MountPlan['bind'] = 'no'
  let remount = false
  let recursiveReadOnly = false
  const propagation: Propagation[] = []
  const superFlags = new Set<string>()
  const data: string[] = []
  for (const option of options) {
    const flag = Object.hasOwn(FLAGS, option) ? FLAGS[option] : undefined
    const spread = propagationOf(option)
    if (flag !== undefined) {
      flags = flag[1] ? flags | flag[0] : flags & ~flag[0]
      cleared = flag[1] ? cleared & ~flag[0] : cleared | flag[0]
      if (SUPER_FLAGS.has(option)) superFlags.add(option)
      if (option === 'rw') superFlags.delete('ro')
    } else if (spread !== undefined) propagation.push(spread)
    else if (option === 'bind') bind = bind === 'recursive' ? bind : 'one'
    else if (option === 'rbind') bind = 'recursive'
    else if (option === 'remount') remount = true
    else if (option === 'rro') recursiveReadOnly = true
    else if (option !== '' && option !== 'defaults') data.push(option)
  }
  return { bind, remount, flags, cleared, propagation, superFlags: [...superFlags], recursiveReadOnly, data }
}

/** Splits overlay's `lowerdir` at its colons; `\:` is a colon in a path. overlayfs.rst */
export function splitLowers(value: string): string[] {
  return [...value.matchAll(/(?:\\.|[^:\\])+/gs)].map(([path]) => path.replaceAll(/\\(.)/gs, '$1'))
}
