/** A time of a file. `seconds` since 1970, negative before; `nanoseconds` from 0 to 999,999,999, always forward. */
export interface Timestamp {
  readonly seconds: number
  readonly nanoseconds: number
}

/** The times to give a file; an absent one stays as it is. */
export interface Timestamps {
  readonly accessedAt?: Timestamp | undefined
  readonly modifiedAt?: Timestamp | undefined
}

/** In the nanoseconds of a timespec: leave this time alone. utimensat(2) */
const UTIME_OMIT = 0x3ffffffe

const timespecs = Buffer.alloc(32)

/** Lays two times out as `struct timespec[2]`, in one buffer that the next call reuses. */
export function encodeTimes(times: Timestamps): Buffer {
  encodeTime(times.accessedAt, 0)
  encodeTime(times.modifiedAt, 16)
  return timespecs
}

function encodeTime(time: Timestamp | undefined, at: number): void {
  // Two halves instead of a BigInt: this is called for every entry of a layer.
  const seconds = time?.seconds ?? 0
  timespecs.writeUInt32LE(seconds >>> 0, at)
  timespecs.writeInt32LE(Math.floor(seconds / 2 ** 32), at + 4)
  timespecs.writeUInt32LE(time === undefined ? UTIME_OMIT : time.nanoseconds, at + 8)
  timespecs.writeUInt32LE(0, at + 12)
}
