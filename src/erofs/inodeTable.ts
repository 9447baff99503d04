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
  links: Uint32Array = new Uint32Array(FIRST_CAPACITY)
  /** Bytes of content. */
  size: Float64Array = new Float64Array(FIRST_CAPACITY)
  /** 1 for content that the image itself has. */
  own: Uint8Array = new Uint8Array(FIRST_CAPACITY)
  /** 1 for an inode in the long form. */
  extended: Uint8Array = new Uint8Array(FIRST_CAPACITY)
  layout: Uint8Array = new Uint8Array(FIRST_CAPACITY)
  position: Float64Array = new Float64Array(FIRST_CAPACITY)
  /** Block address of content. */
  address: Uint32Array = new Uint32Array(FIRST_CAPACITY)
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

  #grow(capacity: number): void {
    this.links = larger(this.links, new Uint32Array(capacity))
    this.size = larger(this.size, new Float64Array(capacity))
    this.own = larger(this.own, new Uint8Array(capacity))
    this.extended = larger(this.extended, new Uint8Array(capacity))
    this.layout = larger(this.layout, new Uint8Array(capacity))
    this.position = larger(this.position, new Float64Array(capacity))
    this.address = larger(this.address, new Uint32Array(capacity))
  }
}

function larger<T extends { set(from: T): void }>(from: T, to: T): T {
  to.set(from)
  return to
}
