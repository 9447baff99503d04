import type { ErofsChildren, ErofsDirectory, ErofsExtent, ErofsFile, ErofsNode } from '../erofs/index.ts'
import type { Attributes } from './entry.ts'
import { keptXattrs, nodeOf, WHITEOUT } from './imageModel.ts'
import { extentsInTar } from './layerImage.ts'
import { type Inode, LayerDirectory, type LayerModel } from './layerModel.ts'
import { OPAQUE_VALUE, OPAQUE_XATTR } from './whiteout.ts'

/**
 * A finished model as the tree of an EROFS image, its contents in the first device: what `layerImageTree` makes of its
 * index, but for what depends on the layers below, which is left to `completeImage`. It is a view: nodes are made when
 * they are asked for, and say what the model says.
 */
export function modelImageTree(model: LayerModel): ErofsDirectory {
  return new ModelDirectory(model.root, new Map())
}

class ModelDirectory implements ErofsDirectory, ErofsChildren {
  readonly type = 'directory'
  readonly xattrs: Attributes['xattrs']
  readonly #from: LayerDirectory
  /** What has several names is one node. */
  readonly #linked: Map<Inode, ErofsNode>

  constructor(from: LayerDirectory, linked: Map<Inode, ErofsNode>) {
    this.#from = from
    this.#linked = linked
    const xattrs = keptXattrs('directory', from.inode.xattrs)
    this.xattrs = from.opaque ? new Map([...xattrs, [OPAQUE_XATTR, OPAQUE_VALUE]]) : xattrs
  }

  get mode(): number {
    return this.#from.inode.mode
  }

  get uid(): number {
    return this.#from.inode.uid
  }

  get gid(): number {
    return this.#from.inode.gid
  }

  get modifiedAt(): Attributes['modifiedAt'] {
    return this.#from.inode.modifiedAt
  }

  get changeable(): boolean {
    return this.#from.implied
  }

  get children(): ErofsChildren {
    return this
  }

  *keys(): Generator<string> {
    yield* this.#from.children.keys()
    yield* this.#from.whiteouts ?? []
  }

  get(name: string): ErofsNode | undefined {
    const entry = this.#from.children.get(name)
    if (entry === undefined) return this.#from.whiteouts?.has(name) === true ? WHITEOUT : undefined
    if (entry instanceof LayerDirectory) return new ModelDirectory(entry, this.#linked)
    const { inode } = entry
    const known = inode.names > 1 ? this.#linked.get(inode) : undefined
    if (known !== undefined) return known
    const node = inode.type === 'file' ? new ModelFile(inode) : nodeOf(inode, [])
    if (inode.names > 1) this.#linked.set(inode, node)
    return node
  }
}

class ModelFile implements ErofsFile {
  readonly type = 'file'
  readonly xattrs: Attributes['xattrs']
  readonly #inode: Inode

  constructor(inode: Inode) {
    this.#inode = inode
    this.xattrs = keptXattrs('file', inode.xattrs)
  }

  get mode(): number {
    return this.#inode.mode
  }

  get uid(): number {
    return this.#inode.uid
  }

  get gid(): number {
    return this.#inode.gid
  }

  get modifiedAt(): Attributes['modifiedAt'] {
    return this.#inode.modifiedAt
  }

  get names(): number {
    return this.#inode.names
  }

  get size(): number {
    return this.#inode.size
  }

  get content(): readonly ErofsExtent[] {
    return this.#inode.size === 0 ? [] : extentsInTar(this.#inode, 0)
  }
}
