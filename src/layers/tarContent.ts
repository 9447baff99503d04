import { type ByteStream, CHUNK_BYTES, fileStream } from '../base/index.ts'
import type { ByteRange, LayerNode } from '../layer/index.ts'

/** The content of a file of a layer, read from the layer's plain tar: extents and the zeros between them. */
export async function* tarContent(tarPath: string, node: LayerNode, range: ByteRange = {}): AsyncGenerator<Uint8Array, void> {
  const start = Math.min(range.start ?? 0, node.size)
  const end = Math.min(range.end ?? node.size, node.size)
  const extents = node.sparse ?? [{ offset: 0, size: node.size }]
  let stored = node.dataOffset
  let at = start
  for (const extent of extents) {
    const from = Math.max(at, extent.offset)
    const to = Math.min(end, extent.offset + extent.size)
    if (from < to) {
      yield* zeros(from - at)
      yield* tarBytes(tarPath, stored + from - extent.offset, to - from)
      at = to
    }
    stored += extent.size
  }
  if (at < end) yield* zeros(end - at)
}

function tarBytes(path: string, start: number, size: number): ByteStream {
  return fileStream(path, { start, end: start + size })
}

function* zeros(count: number): Generator<Uint8Array, void> {
  for (let left = count; left > 0; left -= CHUNK_BYTES) yield Buffer.alloc(Math.min(left, CHUNK_BYTES))
}
