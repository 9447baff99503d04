import { corrupt, truncated } from './failures.ts'
import type { Input } from './input.ts'
import { XzStreamWalk } from './xzWalk.ts'

const MAGIC = [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00] as const

/**
 * Decompresses xz: any number of streams with padding between them; what follows them is skipped. The
 * decoder, xz-decompress, reads one stream, forgets what is behind it, and cannot tell a truncated one
 * from a damaged one; so streams are walked here and it gets exactly one at a time. It is loaded on
 * first use. It also decodes one stream at a time in a process: a second one waits until the first is
 * read or closed.
 */
export async function* unxz(input: Input, windowBytes: number): AsyncGenerator<Uint8Array> {
  const { XzReadableStream } = (await import('xz-decompress')).default
  while (await isStream(input)) {
    const stream = new XzReadableStream(ReadableStream.from(streamPieces(input, windowBytes)))
    yield* chunksOf(stream)
    await skipPadding(input)
  }
}

/** The decoder fails when it is closed that has come to its end already, of which nobody has heard. */
async function* chunksOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader()
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) if (next.value.length > 0) yield next.value
  } finally {
    await reader.cancel().catch(() => undefined)
  }
}

async function isStream(input: Input): Promise<boolean> {
  const start = (await input.peek(MAGIC.length)).subarray(0, MAGIC.length)
  if (start.length === 0 || !start.every((byte, at) => byte === MAGIC[at])) return false
  if (start.length < MAGIC.length) throw truncated('xz')
  return true
}

async function* streamPieces(input: Input, windowBytes: number): AsyncGenerator<Uint8Array> {
  const stream = new XzStreamWalk(windowBytes)
  while (!stream.done) {
    const bytes = await input.next()
    if (bytes === undefined) throw truncated('xz')
    const used = stream.take(bytes)
    if (used < bytes.length) input.unread(bytes.subarray(used))
    yield bytes.subarray(0, used)
  }
}

async function skipPadding(input: Input): Promise<void> {
  let count = 0
  for (;;) {
    const bytes = await input.next()
    if (bytes === undefined) return
    const end = bytes.findIndex(byte => byte !== 0)
    count += end === -1 ? bytes.length : end
    if (end === -1) continue
    input.unread(bytes.subarray(end))
    if (count % 4 !== 0 && bytes[end] === MAGIC[0]) throw corrupt('xz', 'the padding between two streams is not a multiple of 4 bytes')
    return
  }
}
