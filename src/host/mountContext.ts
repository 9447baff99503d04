import { attach } from './mountAttach.ts'
import { close, CURRENT_DIRECTORY, O_PATH, openAt, readInto } from './descriptors.ts'
import { type KernelName, kernelName, lastError, libc } from './libc.ts'
import { attributesOf, type Mount, type MountPlan, splitLowers } from './mountOptions.ts'

const FSOPEN_CLOEXEC = 1
const FSMOUNT_CLOEXEC = 1
const FSCONFIG_SET_FLAG = 0
const FSCONFIG_SET_STRING = 1
const FSCONFIG_CMD_CREATE = 6

/** What fsconfig(2) takes as one value. */
const VALUE_BYTES = 255

/**
 * Makes a file system option by option and mounts it. fsopen(2), fsconfig(2), fsmount(2)
 *
 * Overlay's lowers are given one by one as `lowerdir+` (Linux 6.8), which has room for the 500 that
 * overlayfs takes at most, and needs no escapes for colons and commas.
 */
export function mountByContext(what: Mount, target: string, plan: MountPlan): void {
  const context = new Context(what)
  try {
    for (const [key, value] of settingsOf(what, plan)) context.set(key, value)
    context.create()
    const tree = context.mount(attributesOf(plan).set)
    try {
      attach(tree, target, what.source)
    } finally {
      close(tree)
    }
  } finally {
    context.close()
  }
}

/** The options as keys with their values; an option without `=` is a flag. */
function* settingsOf(what: Mount, plan: MountPlan): Generator<readonly [key: string, value: string | undefined]> {
  yield ['source', what.source]
  for (const flag of plan.superFlags) yield [flag, undefined]
  for (const option of plan.data) {
    const equals = option.indexOf('=')
    const key = equals === -1 ? option : option.slice(0, equals)
    const value = equals === -1 ? undefined : option.slice(equals + 1)
    if (what.type === 'overlay' && key === 'lowerdir' && value !== undefined) {
      for (const lower of splitLowers(value)) yield ['lowerdir+', lower]
    } else yield [key, value]
  }
}

class Context {
  readonly #fd: number
  readonly #source: string
  /** Descriptors that stand for paths longer than a value may be; the kernel needs them only while it is configured. */
  readonly #held: number[] = []

  constructor(what: Mount) {
    this.#fd = libc().fsopen(kernelName(what.type), FSOPEN_CLOEXEC)
    this.#source = what.source
    if (this.#fd < 0) throw lastError('fsopen', what.type)
  }

  set(key: string, value: string | undefined): void {
    if (value === undefined) this.#configure(FSCONFIG_SET_FLAG, key, null)
    else this.#configure(FSCONFIG_SET_STRING, key, this.#shorten(value))
  }

  create(): void {
    this.#configure(FSCONFIG_CMD_CREATE, null, null)
  }

  mount(attributes: number): number {
    const tree = libc().fsmount(this.#fd, FSMOUNT_CLOEXEC, attributes)
    if (tree < 0) throw this.#explained(lastError('fsmount', this.#source))
    return tree
  }

  close(): void {
    for (const fd of this.#held) close(fd)
    close(this.#fd)
  }

  #configure(command: number, key: string | null, value: KernelName | null): void {
    if (libc().fsconfig(this.#fd, command, key, value, 0) === 0) return
    throw this.#explained(lastError('fsconfig', key ?? this.#source))
  }

  #shorten(value: string): KernelName {
    const name = kernelName(value)
    if (!value.startsWith('/') || Buffer.byteLength(name) <= VALUE_BYTES) return name
    const fd = openAt(CURRENT_DIRECTORY, value, O_PATH)
    this.#held.push(fd)
    return `/proc/self/fd/${fd}`
  }

  /** Adds what the kernel logged for this context: one line a read, such as "e overlay: …". */
  #explained(error: NodeJS.ErrnoException): NodeJS.ErrnoException {
    const line = Buffer.alloc(1024)
    const said: string[] = []
    try {
      for (let count = 1; count > 0;) {
        count = readInto(this.#fd, line)
        if (count > 0)
          said.push(
            line
              .toString('utf8', 0, count)
              .replace(/^[ewi] /, '')
              .trim(),
          )
      }
    } catch {
      // ENODATA: the log is read to its end.
    }
    if (said.length > 0) error.message += ` (${said.join('; ')})`
    return error
  }
}
