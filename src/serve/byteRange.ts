/** Bytes `start` to `end`, both included. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/**
 * What a `Range` header asks for of `size` bytes: undefined when it is to be ignored (another unit, several ranges, no
 * syntax), 'unsatisfiable' when it lies outside. RFC 9110 section 14.2
 */
export function parseRange(header: string | undefined, size: number): ByteRange | 'unsatisfiable' | undefined {
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec((header ?? '').trim().slice(0, 100)) ?? []
  if (first === undefined || last === undefined || (first === '' && last === '')) return undefined
  if (first === '') {
    const count = Math.min(Number(last), size)
    return count === 0 ? 'unsatisfiable' : { start: size - count, end: size - 1 }
  }
  const start = Number(first)
  const end = last === '' ? Infinity : Number(last)
  if (end < start) return undefined
  return start >= size ? 'unsatisfiable' : { start, end: Math.min(end, size - 1) }
}

/**
 * What the `Content-Range` of a chunk says: undefined without one, 'invalid' for what is none.
 * distribution-spec "Pushing a blob in chunks"; older clients write it as RFC 9110 has it (`bytes 0-9/10`).
 */
export function parseContentRange(header: string | undefined): ByteRange | 'invalid' | undefined {
  if (header === undefined) return undefined
  const [, first, last] = /^(?:bytes )?(\d{1,16})-(\d{1,16})(?:\/(?:\*|\d+))?$/.exec(header.slice(0, 100)) ?? []
  const [start, end] = [Number(first), Number(last)]
  return Number.isSafeInteger(start) && Number.isSafeInteger(end) && start <= end ? { start, end } : 'invalid'
}
