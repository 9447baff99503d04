import { callError, kernelName, lastErrno, libc } from './libc.ts'

/** How openat2(2) resolves a path. */
export const RESOLVE_NO_MAGICLINKS = 0x02
export const RESOLVE_NO_SYMLINKS = 0x04
export const RESOLVE_BENEATH = 0x08
export const RESOLVE_IN_ROOT = 0x10

const O_CLOEXEC = 0o2000000

/**
 * The kernel gives up with EAGAIN when something was renamed while it looked at a `..`. A process
 * that renames without a pause can bring that about again and again, but each try is another throw.
 */
const TRIES = 10_000

/** struct open_how: u64 flags, mode, resolve. */
const how = Buffer.alloc(24)

export interface OpenHow {
  readonly flags: number
  readonly mode?: number
  readonly resolve: number
}

/** openat2(2), Linux 5.6: opens `path` below `directory`, resolved as `resolve` says. */
export function openHow(directory: number, path: string, { flags, mode = 0, resolve }: OpenHow): number {
  const name = kernelName(path)
  how.writeUInt32LE(flags | O_CLOEXEC, 0)
  how.writeUInt32LE(mode, 8)
  how.writeUInt32LE(resolve, 16)
  for (let tried = 1; ; tried += 1) {
    const fd = libc().openat2(directory, name, how, how.length)
    if (fd >= 0) return fd
    const code = lastErrno()
    if ((code !== 'EAGAIN' && code !== 'EINTR') || tried === TRIES) throw callError(code, 'openat2', path)
  }
}
