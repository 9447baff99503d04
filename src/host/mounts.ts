import { CURRENT_DIRECTORY, close } from './descriptors.ts'
import { kernelName, lastError, libc } from './libc.ts'
import { attach } from './mountAttach.ts'
import { mountByContext } from './mountContext.ts'
import { attributesOf, type Mount, type MountPlan, MS_REMOUNT, planMount, type Propagation } from './mountOptions.ts'

const MNT_DETACH = 2
const UMOUNT_NOFOLLOW = 8
const AT_RECURSIVE = 0x8000
const AT_EMPTY_PATH = 0x1000
const OPEN_TREE_CLONE = 1
const OPEN_TREE_CLOEXEC = 0o2000000

/** What mount(2) copies of the options: a page without its last byte. */
const OPTIONS_BYTES = 4095

/**
 * Performs a mount.
 *
 * A bind mount is made aside and attached when it has all its attributes, so it is never seen
 * writable before it is read-only; attributes that are not named stay those of the source's mount.
 * `ro` holds for the mount itself, `rro` also for those below it. Options that do not fit mount(2)
 * (longer than a page, or with a comma inside a value) go to the file system one by one; overlay's
 * lowers then too. When a step fails, nothing stays mounted.
 *
 * @param target an existing directory or file. For a place inside an image give
 *   `/proc/self/fd/<fd>` of a descriptor that ConfinedRoot opened.
 * @throws a Node-shaped error; where the kernel keeps a log of the mount, the message ends with it
 */
export function mount(what: Mount, target: string): void {
  const plan = planMount(what.options)
  if (plan.remount) {
    remount(what, target, plan)
  } else if (plan.bind !== 'no' || what.type === 'bind') {
    bind(what.source, target, plan)
  } else if (what.type !== '' && what.type !== 'none') {
    mountNew(what, target, plan)
  } else {
    finish(CURRENT_DIRECTORY, target, plan)
  }
}

function mountNew(what: Mount, target: string, plan: MountPlan): void {
  const data = plan.data.join(',')
  const fits = Buffer.byteLength(data) <= OPTIONS_BYTES && !plan.data.some(option => option.includes(','))
  if (fits) mountAtOnce(what, target, { flags: plan.flags, data })
  else mountByContext(what, target, plan)
  try {
    finish(CURRENT_DIRECTORY, target, plan)
  } catch (error) {
    unmount(target, { detach: true })
    throw error
  }
}

function mountAtOnce(what: Mount, target: string, how: { readonly flags: number; readonly data: string }): void {
  const failed = libc().mount(kernelName(what.source), kernelName(target), kernelName(what.type), how.flags, kernelName(how.data)) < 0
  if (failed) throw lastError('mount', what.source, target)
}

function remount(what: Mount, target: string, plan: MountPlan): void {
  if (plan.bind === 'no') {
    mountAtOnce(what, target, { flags: plan.flags | MS_REMOUNT, data: plan.data.join(',') })
  } else {
    const { set, clear } = attributesOf(plan)
    change(CURRENT_DIRECTORY, target, { set, clear, recursive: false })
  }
  finish(CURRENT_DIRECTORY, target, plan)
}

function bind(source: string, target: string, plan: MountPlan): void {
  const calls = libc()
  const whole = plan.bind === 'recursive' ? AT_RECURSIVE : 0
  const tree = calls.open_tree(CURRENT_DIRECTORY, kernelName(source), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | whole)
  if (tree < 0) throw lastError('open_tree', source)
  try {
    const { set, clear } = attributesOf(plan)
    if (set !== 0 || clear !== 0) change(tree, '', { set, clear, recursive: false })
    finish(tree, '', plan)
    attach(tree, target, source)
  } finally {
    close(tree)
  }
}

/** What comes after the mount itself: read-only all the way down, and propagation. */
function finish(directory: number, path: string, plan: MountPlan): void {
  if (plan.recursiveReadOnly) change(directory, path, { set: 1, clear: 0, recursive: true })
  for (const { type, recursive } of plan.propagation) change(directory, path, { set: 0, clear: 0, propagation: type, recursive })
}

interface AttributeChange {
  readonly set: number
  readonly clear: number
  readonly propagation?: Propagation['type']
  readonly recursive: boolean
}

/** mount_setattr(2), Linux 5.12. With an empty path, of the mount that `directory` stands for. */
function change(directory: number, path: string, what: AttributeChange): void {
  const attributes = Buffer.alloc(32)
  attributes.writeUInt32LE(what.set, 0)
  attributes.writeUInt32LE(what.clear, 8)
  attributes.writeUInt32LE(what.propagation ?? 0, 16)
  const flags = (path === '' ? AT_EMPTY_PATH : 0) | (what.recursive ? AT_RECURSIVE : 0)
  if (libc().mount_setattr(directory, kernelName(path), flags, attributes, attributes.length) < 0) throw lastError('mount_setattr', path)
}

/**
 * Takes the topmost mount at `target` away; a link at `target` is not followed.
 *
 * @param how `detach: true` takes it out of the tree now, with all mounts below, and frees it when the last user is gone
 * @throws EBUSY while files on it are open, EINVAL where nothing is mounted
 */
export function unmount(target: string, how: { readonly detach?: boolean } = {}): void {
  const flags = UMOUNT_NOFOLLOW | (how.detach === true ? MNT_DETACH : 0)
  if (libc().umount2(kernelName(target), flags) < 0) throw lastError('umount2', target)
}
