import type { ChunkMap } from './fileMap.ts'
import { COMPACT_BYTES, EXTENDED_BYTES } from './format.ts'
import type { ErofsNode } from './node.ts'

/** The names in a directory, sorted, dots among them, and the inode of each. */
export interface Entries {
  readonly names: readonly string[]
  readonly targets: Uint32Array
}

const FIRST_CAPACITY = 256

/**
 * The inodes on their way into an image, by number from 0. A column for each thing that is known of all of them: a layer may have
 * a hundred thousand, and an object for each takes several times as much memory. FLAT_PLAIN is 0, as is what is not known yet.
 */
export class InodeTable {
  count = 0
  readonly nodes: ErofsNode[] = []
  links: Uint32Array<ArrayBuffer> = new Uint32Array(FIRST_CAPACITY)
  /** Bytes of content. */
  size: Float64Array<ArrayBuffer> = new Float64Array(FIRST_CAPACITY)
  /** 1 for content that the image itself has. */
  own: Uint8Array<ArrayBuffer> = new Uint8Array(FIRST_CAPACITY)
  /** 1 for an inode in the long form. */
  extended: Uint8Array<ArrayBuffer> = new Uint8Array(FIRST_CAPACITY)
  layout: Uint8Array<ArrayBuffer> = new Uint8Array(FIRST_CAPACITY)
  position: Float64Array<ArrayBuffer> = new Float64Array(FIRST_CAPACITY)
  /** Block address of content. */
  address: Uint32Array<ArrayBuffer> = new Uint32Array(FIRST_CAPACITY)
  /** Of directories. */
  readonly entries: Map<number, Entries> = new Map()
  /** Of files that do not lie in one piece. */
  readonly maps: Map<number, ChunkMap> = new Map()
  /** What stands behind inodes that have any. */
  readonly xattrs: Map<number, Buffer> = new Map()

  add(node: ErofsNode, size: number, own: boolean): number {
    const n = this.count
    if (n === this.links.length) this.#grow(n * 2)
    this.nodes.push(node)
    this.size[n] = size
    this.own[n] = own ? 1 : 0
    this.count += 1
    return n
  }

  /** Bytes of an inode with its xattrs. */
  headerBytes(n: number): number {
    return (this.extended[n] === 1 ? EXTENDED_BYTES : COMPACT_BYTES) + (this.xattrs.get(n)?.length ?? 0)
  }

  /** The memory of the smaller columns is taken along, not left to V8, which hardly sees it. */
  #grow(capacity: number): void {
    this.links = new Uint32Array(this.links.buffer.transfer(capacity * 4))
    this.size = new Float64Array(this.size.buffer.transfer(capacity * 8))
    this.own = new Uint8Array(this.own.buffer.transfer(capacity))
    this.extended = new Uint8Array(this.extended.buffer.transfer(capacity))
    this.layout = new Uint8Array(this.layout.buffer.transfer(capacity))
    this.position = new Float64Array(this.position.buffer.transfer(capacity * 8))
    this.address = new Uint32Array(this.address.buffer.transfer(capacity * 4))
  }
}
