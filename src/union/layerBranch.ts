import type { ByteStream } from '../base/index.ts'
import { type ByteRange, type LayerIndex, type LayerNode, type ReadableTree } from '../layer/index.ts'
import { type BorrowedFiles, borrowFiles } from './borrowedFiles.ts'
import type { Branch, BranchName, BranchNode } from './branch.ts'
import { inodeOf, layerNode } from './layerNode.ts'
import { lastName } from './path.ts'

/** A layer that is not unpacked. */
export interface IndexedLayer {
  readonly index: LayerIndex
  /** The content of a regular file that the layer has itself, or of another name of it in the layer. */
  open(path: string, range?: ByteRange): ByteStream
}

/** What the layers below show, as far as hard links to files there ask for it. */
export type TreeBelow = Pick<ReadableTree, 'lstat' | 'open'>

/** A branch that is read from the index of a layer; contents come from wherever they are. */
export class LayerBranch implements Branch {
  readonly #layer: IndexedLayer
  readonly #below: () => TreeBelow
  #shown: TreeBelow | undefined
  #links: Promise<LayerLinks> | undefined

  /** @param below what the branches below show, for hard links to files there */
  constructor(layer: IndexedLayer, below: () => TreeBelow) {
    this.#layer = layer
    this.#below = below
  }

  async lookup(path: string): Promise<BranchNode | 'whiteout' | undefined> {
    const { borrowed, names } = await this.#linked()
    const file = borrowed.nodes.get(path)
    if (file !== undefined) return file.node
    const entry = this.#layer.index.get(path)
    if (entry === undefined || entry.type === 'whiteout') return entry?.type
    const node = layerNode(this.#layer.index, entry)
    return { ...node, links: names.get(node.inode) ?? 1 }
  }

  async names(path: string): Promise<Iterable<BranchName>> {
    const { borrowed } = await this.#linked()
    const names = new Map<string, BranchName>()
    for (const entry of this.#layer.index.children(path)) {
      const name = lastName(entry.path)
      names.set(name, { name, whiteout: entry.type === 'whiteout' })
    }
    for (const name of borrowed.names.get(path) ?? []) names.set(name, { name, whiteout: false })
    return names.values()
  }

  async *open(path: string, range?: ByteRange): AsyncGenerator<Uint8Array> {
    const file = (await this.#linked()).borrowed.nodes.get(path)
    if (file?.below !== undefined) yield* this.#shownBelow().open(file.below, range)
    else yield* this.#layer.open(file?.own ?? path, range)
  }

  async close(): Promise<void> {}

  #shownBelow(): TreeBelow {
    this.#shown ??= this.#below()
    return this.#shown
  }

  #linked(): Promise<LayerLinks> {
    this.#links ??= this.#readLinks()
    return this.#links
  }

  /** One pass over the index, at the first use: an inode does not know how many names it has. */
  async #readLinks(): Promise<LayerLinks> {
    const { index } = this.#layer
    const names = new Map<string, number>()
    const lower: LayerNode[] = []
    for (const entry of index.entries()) {
      if (entry.type === 'whiteout' || entry.linkOf === undefined) continue
      const first = index.get(entry.linkOf)
      if (first === undefined || first.type === 'whiteout') lower.push(entry)
      else {
        const inode = inodeOf(index, entry)
        names.set(inode, (names.get(inode) ?? 1) + 1)
      }
    }
    const borrowed = lower.length === 0 ? NOTHING : await borrowFiles(index, lower, this.#shownBelow())
    for (const { node } of borrowed.nodes.values()) {
      if (node.type !== 'directory') names.set(node.inode, node.links)
    }
    return { names, borrowed }
  }
}

interface LayerLinks {
  /** How many names an inode has, where it has several. */
  readonly names: ReadonlyMap<string, number>
  readonly borrowed: BorrowedFiles
}

const NOTHING: BorrowedFiles = { nodes: new Map(), names: new Map() }
