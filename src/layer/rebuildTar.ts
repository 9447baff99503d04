import { type FileHandle, open } from 'node:fs/promises'
import { zstdDecompressSync } from 'node:zlib'
import { type ByteStream, StrataError } from '../base/index.ts'
import { ChunkJoiner } from './chunkJoiner.ts'
import type { LayerIndex, LayerNode } from './entry.ts'
import {
  FOOTER_BYTES,
  FRAME_PAYLOAD,
  FRAME_SCRIPT,
  HEADERS_MAGIC,
  STEP_BYTES,
  STEP_HEAD_BYTES,
  STEP_PAYLOAD,
  STEP_ZEROS,
  TABLE_ENTRY_BYTES,
} from './tarHeaders.ts'

/** Gives the payload of a file of a layer: its content, or for a sparse file its extents one after the other. */
export type PayloadSource = (node: LayerNode) => Uint8Array | ByteStream

export interface RebuildSource {
  /** The file that `applyLayer` wrote. */
  readonly headersPath: string
  readonly index: LayerIndex
  readonly payload: PayloadSource
}

/**
 * The exact bytes of a layer tar, from its headers and the files of its tree. Whether the files are
 * still those of the layer only the DiffId of the result proves: compare it before you trust the bytes.
 *
 * The iteration rejects with `dataLoss` (STRATA_TAR_HEADERS_DAMAGED) when parts are missing.
 */
export async function* rebuildTar(source: RebuildSource): AsyncGenerator<Uint8Array> {
  await using file = await open(source.headersPath, 'r')
  const frames = await readFrames(file)
  const files = new PayloadsInOrder(source.index)
  const kept = frames.filter(frame => frame.kind === FRAME_PAYLOAD).sort((a, b) => a.tarOffset - b.tarOffset)
  const script = new Script(file, frames)
  const out = new ChunkJoiner()
  let keptTaken = 0
  for (let at = 0; ;) {
    const step = await script.next()
    if (step === undefined) break
    if (step.kind === STEP_ZEROS) yield* out.add(Buffer.alloc(step.bytes))
    else if (step.kind === STEP_BYTES) yield* out.add(await script.take(step.bytes))
    else if (step.kind !== STEP_PAYLOAD) throw damaged('it has an unknown step')
    else if (kept[keptTaken]?.tarOffset === at) {
      for (let done = 0; done < step.bytes; keptTaken += 1) {
        const frame = kept[keptTaken]
        if (frame === undefined || frame.tarOffset !== at + done) throw damaged('kept content is missing')
        yield* out.add(await readFrame(file, frame))
        done += frame.plain
      }
    } else {
      const node = files.at(at)
      if (node?.storedSize !== step.bytes) throw damaged(`no file has the content at byte ${at}`)
      yield* out.addExactly(source.payload(node), node.storedSize, node.path)
    }
    at += step.bytes
  }
  yield* out.end()
}

/** Finds files by where their payload is in the tar; places are asked for in rising order. */
class PayloadsInOrder {
  readonly #nodes: Iterator<LayerNode>
  #next: LayerNode | undefined

  constructor(index: LayerIndex) {
    this.#nodes = index.payloads()[Symbol.iterator]()
    this.#advance()
  }

  at(offset: number): LayerNode | undefined {
    while (this.#next !== undefined && this.#next.dataOffset < offset) this.#advance()
    return this.#next?.dataOffset === offset ? this.#next : undefined
  }

  #advance(): void {
    const next = this.#nodes.next()
    this.#next = next.done === true ? undefined : next.value
  }
}

interface Frame {
  readonly kind: number
  readonly position: number
  readonly stored: number
  readonly plain: number
  readonly tarOffset: number
}

/** The script frames as one sequence of steps and bytes. */
class Script {
  readonly #file: FileHandle
  readonly #frames: Iterator<Frame>
  #buffer: Buffer = Buffer.alloc(0)
  #at = 0

  constructor(file: FileHandle, frames: readonly Frame[]) {
    this.#file = file
    this.#frames = frames.filter(frame => frame.kind === FRAME_SCRIPT).values()
  }

  async next(): Promise<{ kind: number; bytes: number } | undefined> {
    if (this.#at === this.#buffer.length && !(await this.#more())) return undefined
    const head = await this.take(STEP_HEAD_BYTES)
    return { kind: head[0]!, bytes: head.readDoubleLE(1) }
  }

  /** A view that is valid until the next call. */
  async take(bytes: number): Promise<Buffer> {
    while (this.#buffer.length - this.#at < bytes) if (!(await this.#more())) throw damaged('it ends early')
    this.#at += bytes
    return this.#buffer.subarray(this.#at - bytes, this.#at)
  }

  async #more(): Promise<boolean> {
    const next = this.#frames.next()
    if (next.done === true) return false
    const plain = await readFrame(this.#file, next.value)
    this.#buffer = this.#at === this.#buffer.length ? plain : Buffer.concat([this.#buffer.subarray(this.#at), plain])
    this.#at = 0
    return true
  }
}

async function readFrames(file: FileHandle): Promise<readonly Frame[]> {
  const { size } = await file.stat()
  if (size < HEADERS_MAGIC.length + FOOTER_BYTES) throw damaged('it is too short')
  const footer = await readAt(file, size - FOOTER_BYTES, FOOTER_BYTES)
  const count = footer.readUInt32LE(0)
  const tableAt = size - FOOTER_BYTES - count * TABLE_ENTRY_BYTES
  if (footer.toString('latin1', 4) !== HEADERS_MAGIC || tableAt < HEADERS_MAGIC.length) throw damaged('its end is missing')
  const table = await readAt(file, tableAt, count * TABLE_ENTRY_BYTES)
  return Array.from({ length: count }, (_, i) => {
    const at = i * TABLE_ENTRY_BYTES
    return {
      kind: table.readUInt8(at),
      position: table.readDoubleLE(at + 1),
      stored: table.readUInt32LE(at + 9),
      plain: table.readUInt32LE(at + 13),
      tarOffset: table.readDoubleLE(at + 17),
    }
  })
}

async function readFrame(file: FileHandle, frame: Frame): Promise<Buffer> {
  const stored = await readAt(file, frame.position, frame.stored)
  try {
    const plain = zstdDecompressSync(stored, { maxOutputLength: frame.plain })
    if (plain.length === frame.plain) return plain
  } catch (cause) {
    throw damaged('a part cannot be decompressed', cause)
  }
  throw damaged('a part has the wrong length')
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length)
  for (let done = 0; done < length;) {
    const { bytesRead } = await file.read(buffer, done, length - done, position + done)
    if (bytesRead === 0) throw damaged('it ends early')
    done += bytesRead
  }
  return buffer
}

function damaged(state: string, cause?: unknown): StrataError {
  return new StrataError(
    'dataLoss',
    'STRATA_TAR_HEADERS_DAMAGED',
    `Cannot rebuild layer tar: ${state}`,
    cause === undefined ? {} : { cause },
  )
}
