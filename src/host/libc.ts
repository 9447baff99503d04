import { createRequire } from 'node:module'
import { arch, constants } from 'node:os'
import { getSystemErrorMap } from 'node:util'
import { encodeFileName } from '../base/index.ts'

/*
 * The one place that knows how C is called. Everything goes through the libc that Node itself is
 * linked with (glibc or musl): plain wrappers where every libc of the last ten years exports them,
 * `syscall` for the rest. Structures are laid out by hand in buffers; those used here are the same
 * on x64 and arm64.
 */

/** A name for the kernel: a string where it is valid Unicode, else its bytes with a final NUL. */
export type KernelName = string | Buffer

type Pointer = Uint8Array | null

/** The calls that are bound, with the types that koffi converts. All return -1 and set errno on failure. */
interface Libc {
  openat(dir: number, name: KernelName, flags: number, mode: number): number
  pipe2(ends: Pointer, flags: number): number
  close(fd: number): number
  read(fd: number, buffer: Pointer, length: number): number
  write(fd: number, buffer: Pointer, length: number): number
  pread(fd: number, buffer: Pointer, length: number, position: number): number
  pwrite(fd: number, buffer: Pointer, length: number, position: number): number
  lseek(fd: number, offset: number, whence: number): number
  ftruncate(fd: number, size: number): number
  fsync(fd: number): number
  syncfs(fd: number): number
  sync_file_range(fd: number, offset: number, length: number, flags: number): number
  flock(fd: number, operation: number): number
  ioctl(fd: number, request: number, argument: number): number
  mkdirat(dir: number, name: KernelName, mode: number): number
  symlinkat(target: KernelName, dir: number, name: KernelName): number
  linkat(fromDir: number, from: KernelName, toDir: number, to: KernelName, flags: number): number
  unlinkat(dir: number, name: KernelName, flags: number): number
  fchownat(dir: number, name: KernelName, uid: number, gid: number, flags: number): number
  fchown(fd: number, uid: number, gid: number): number
  fchmod(fd: number, mode: number): number
  fchmodat(dir: number, name: KernelName, mode: number, flags: number): number
  utimensat(dir: number, name: KernelName, times: Pointer, flags: number): number
  futimens(fd: number, times: Pointer): number
  readlinkat(dir: number, name: KernelName, buffer: Pointer, length: number): number
  lgetxattr(path: KernelName, key: KernelName, value: Pointer, length: number): number
  lsetxattr(path: KernelName, key: KernelName, value: Pointer, length: number, flags: number): number
  llistxattr(path: KernelName, list: Pointer, length: number): number
  lremovexattr(path: KernelName, key: KernelName): number
  fgetxattr(fd: number, key: KernelName, value: Pointer, length: number): number
  fsetxattr(fd: number, key: KernelName, value: Pointer, length: number, flags: number): number
  flistxattr(fd: number, list: Pointer, length: number): number
  fremovexattr(fd: number, key: KernelName): number
  mount(source: KernelName, target: KernelName, type: KernelName, flags: number, data: KernelName): number
  umount2(target: KernelName, flags: number): number
  socket(domain: number, type: number, protocol: number): number
  connect(fd: number, address: Pointer, length: number): number
  recv(fd: number, buffer: Pointer, length: number, flags: number): number
  send(fd: number, buffer: Pointer, length: number, flags: number): number
  shutdown(fd: number, how: number): number
}

const PROTOTYPES: Readonly<Record<keyof Libc, string>> = {
  openat: 'int openat(int, const char *, int, uint32_t)',
  pipe2: 'int pipe2(void *, int)',
  close: 'int close(int)',
  read: 'int64_t read(int, void *, uint64_t)',
  write: 'int64_t write(int, void *, uint64_t)',
  pread: 'int64_t pread(int, void *, uint64_t, int64_t)',
  pwrite: 'int64_t pwrite(int, void *, uint64_t, int64_t)',
  lseek: 'int64_t lseek(int, int64_t, int)',
  ftruncate: 'int ftruncate(int, int64_t)',
  fsync: 'int fsync(int)',
  syncfs: 'int syncfs(int)',
  sync_file_range: 'int sync_file_range(int, int64_t, int64_t, uint32_t)',
  flock: 'int flock(int, int)',
  ioctl: 'int ioctl(int, uint64_t, int64_t)',
  mkdirat: 'int mkdirat(int, const char *, uint32_t)',
  symlinkat: 'int symlinkat(const char *, int, const char *)',
  linkat: 'int linkat(int, const char *, int, const char *, int)',
  unlinkat: 'int unlinkat(int, const char *, int)',
  fchownat: 'int fchownat(int, const char *, uint32_t, uint32_t, int)',
  fchown: 'int fchown(int, uint32_t, uint32_t)',
  fchmod: 'int fchmod(int, uint32_t)',
  fchmodat: 'int fchmodat(int, const char *, uint32_t, int)',
  utimensat: 'int utimensat(int, const char *, void *, int)',
  futimens: 'int futimens(int, void *)',
  readlinkat: 'int64_t readlinkat(int, const char *, void *, uint64_t)',
  lgetxattr: 'int64_t lgetxattr(const char *, const char *, void *, uint64_t)',
  lsetxattr: 'int lsetxattr(const char *, const char *, void *, uint64_t, int)',
  llistxattr: 'int64_t llistxattr(const char *, void *, uint64_t)',
  lremovexattr: 'int lremovexattr(const char *, const char *)',
  fgetxattr: 'int64_t fgetxattr(int, const char *, void *, uint64_t)',
  fsetxattr: 'int fsetxattr(int, const char *, void *, uint64_t, int)',
  flistxattr: 'int64_t flistxattr(int, void *, uint64_t)',
  fremovexattr: 'int fremovexattr(int, const char *)',
  mount: 'int mount(const char *, const char *, const char *, uint64_t, const char *)',
  umount2: 'int umount2(const char *, int)',
  socket: 'int socket(int, int, int)',
  connect: 'int connect(int, void *, uint32_t)',
  recv: 'int64_t recv(int, void *, uint64_t, int)',
  send: 'int64_t send(int, void *, uint64_t, int)',
  shutdown: 'int shutdown(int, int)',
}

/** Calls that some supported libc does not export: number on x64, number on arm64, parameters. */
interface System {
  mknodat(dir: number, name: KernelName, mode: number, device: number): number
  statx(dir: number, name: KernelName, flags: number, mask: number, result: Pointer): number
  getdents64(fd: number, buffer: Pointer, length: number): number
  renameat2(fromDir: number, from: KernelName, toDir: number, to: KernelName, flags: number): number
  copy_file_range(from: number, fromAt: Pointer, to: number, toAt: Pointer, length: number, flags: number): number
  fchmodat2(dir: number, name: KernelName, mode: number, flags: number): number
  openat2(dir: number, name: KernelName, how: Pointer, size: number): number
  move_mount(fromDir: number, from: KernelName, toDir: number, to: KernelName, flags: number): number
  open_tree(dir: number, name: KernelName, flags: number): number
  fsopen(type: KernelName, flags: number): number
  fsconfig(fd: number, command: number, key: KernelName | null, value: KernelName | null, extra: number): number
  fsmount(fd: number, flags: number, attributes: number): number
  mount_setattr(dir: number, path: KernelName, flags: number, attributes: Pointer, size: number): number
}

const SYSTEM: Readonly<Record<keyof System, readonly [x64: number, arm64: number, parameters: string]>> = {
  mknodat: [259, 33, 'int, const char *, uint32_t, uint32_t'],
  statx: [332, 291, 'int, const char *, int, uint32_t, void *'],
  getdents64: [217, 61, 'int, void *, uint64_t'],
  renameat2: [316, 276, 'int, const char *, int, const char *, uint32_t'],
  copy_file_range: [326, 285, 'int, void *, int, void *, uint64_t, uint32_t'],
  fchmodat2: [452, 452, 'int, const char *, uint32_t, uint32_t'],
  openat2: [437, 437, 'int, const char *, void *, uint64_t'],
  move_mount: [429, 429, 'int, const char *, int, const char *, uint32_t'],
  open_tree: [428, 428, 'int, const char *, uint32_t'],
  fsopen: [430, 430, 'const char *, uint32_t'],
  fsconfig: [431, 431, 'int, uint32_t, const char *, const char *, int'],
  fsmount: [432, 432, 'int, uint32_t, uint32_t'],
  mount_setattr: [442, 442, 'int, const char *, uint32_t, void *, uint64_t'],
}

export interface ForeignFunction {
  (...parameters: unknown[]): number
  /** The last parameter is called back with the result when a thread of libuv's pool has made the call. */
  async(...parameters: unknown[]): void
}

interface Koffi {
  /** The library of that name, as the system finds it; null for the running program. Throws where there is none. */
  load(path: string | null): { func(prototype: string): ForeignFunction }
  errno(): number
}

let loaded: Koffi | undefined
let calls: (Libc & System) | undefined

/** The library through which C is called. */
export function koffi(): Koffi {
  return (loaded ??= loadKoffi())
}

/** Its own JavaScript looks for the right file and warns of old names, which takes ten times as long as to load that file (2 ms). */
function loadKoffi(): Koffi {
  const require = createRequire(import.meta.url)
  const fromKoffi = createRequire(require.resolve('koffi'))
  for (const libc of ['linux', 'musl']) {
    try {
      return fromKoffi(`@koromix/koffi-linux-${arch()}/${libc}_${arch()}/koffi.node`) as Koffi
    } catch {
      // The file of the other libc, or one that was built where it is.
    }
  }
  return require('koffi') as Koffi
}

/** The bound calls. The first use loads koffi (some milliseconds), so a command that needs no call pays nothing. */
export function libc(): Libc & System {
  return (calls ??= bind())
}

function bind(): Libc & System {
  const architecture = arch()
  if (process.platform !== 'linux' || (architecture !== 'x64' && architecture !== 'arm64')) {
    throw Object.assign(
      new Error(`ENOSYS: system calls are bound for Linux on x64 and arm64, not ${process.platform} on ${architecture}`),
      {
        code: 'ENOSYS',
        errno: -constants.errno.ENOSYS,
      },
    )
  }
  // The running program itself: it holds whichever libc Node is linked with.
  const library = koffi().load(null)
  const bound = {}
  for (const [name, prototype] of Object.entries(PROTOTYPES)) bindWhenUsed(bound, name, () => library.func(prototype))
  for (const [name, [x64, arm64, parameters]] of Object.entries(SYSTEM)) {
    const number = architecture === 'x64' ? x64 : arm64
    bindWhenUsed(bound, name, () =>
      withNumber(library.func(`int64_t syscall(int64_t, ${parameters})`), number, parameters.split(',').length),
    )
  }
  return bound as Libc & System
}

/** A command needs few of the calls, and to bind all of them takes some milliseconds. */
function bindWhenUsed(calls: object, name: string, bind: () => unknown): void {
  const define = (property: PropertyDescriptor): unknown => Object.defineProperty(calls, name, { ...property, configurable: true })
  define({
    get: () => {
      const value = bind()
      define({ value })
      return value
    },
  })
}

/** Makes a call in another thread, for one that may wait for the disk. Rejects with the Node-shaped error where it fails. */
export function callInThread(name: keyof Libc, ...parameters: readonly unknown[]): Promise<void> {
  const call = libc()[name] as unknown as ForeignFunction
  return new Promise((resolve, reject) => {
    call.async(...parameters, (failure: Error | null, result: number) => {
      if (failure !== null) reject(failure)
      else if (result < 0) reject(lastError(name))
      else resolve()
    })
  })
}

/** Fixes the call's number. Written out by length, because spreading parameters costs as much as the call. */
function withNumber(call: (...parameters: unknown[]) => number, number: number, parameters: number): (...given: unknown[]) => number {
  if (parameters <= 2) return (a, b) => call(number, a, b)
  if (parameters === 3) return (a, b, c) => call(number, a, b, c)
  if (parameters === 4) return (a, b, c, d) => call(number, a, b, c, d)
  if (parameters === 5) return (a, b, c, d, e) => call(number, a, b, c, d, e)
  return (a, b, c, d, e, f) => call(number, a, b, c, d, e, f)
}

/** Prepares a name for a call. A NUL would cut the name short and so name another file: EINVAL. */
export function kernelName(name: string): KernelName {
  if (name.includes('\0')) throw callError('EINVAL', 'open', name)
  return name.isWellFormed() ? name : Buffer.concat([encodeFileName(name), NUL])
}

const NUL = Buffer.alloc(1)

const ERRNO_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(constants.errno)
    .map(([name, number]): [number, string] => [number, name])
    // libuv's name comes last and wins, so that codes agree with those of Node's own errors.
    .concat([...getSystemErrorMap()].map(([number, [name]]): [number, string] => [-number, name])),
)

const MESSAGES = getSystemErrorMap()

/** The errno name of the call that has just failed in this thread. Nothing may come between the call and this. */
export function lastErrno(): string {
  const number = loaded?.errno() ?? 0
  return ERRNO_NAMES.get(number) ?? `E${number}`
}

/** The error of the call that has just failed, shaped like Node's own: code, errno, syscall, path, dest. */
export function lastError(syscall: string, path?: string, dest?: string): NodeJS.ErrnoException {
  return callError(lastErrno(), syscall, path, dest)
}

/** An error shaped like Node's own for an errno name. */
export function callError(code: string, syscall: string, path?: string, dest?: string): NodeJS.ErrnoException {
  const number = (constants.errno as Readonly<Record<string, number>>)[code] ?? Number(code.slice(1))
  const said = MESSAGES.get(-number)?.[1]
  const names = `${path === undefined ? '' : ` '${path}'`}${dest === undefined ? '' : ` -> '${dest}'`}`
  const error = new Error(`${code}:${said === undefined ? '' : ` ${said},`} ${syscall}${names}`)
  return Object.assign(error, {
    code,
    errno: -number,
    syscall,
    ...(path === undefined ? {} : { path }),
    ...(dest === undefined ? {} : { dest }),
  })
}
