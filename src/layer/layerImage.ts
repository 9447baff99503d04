import { type ErofsDirectory, type ErofsExtent, type ErofsNode } from '../erofs/index.ts'
import type { LayerIndex, LayerNode } from './entry.ts'
import { findNode, ImageDirectory, type ImageModel, nodeOf, parentDirectory, readImageModel, WHITEOUT } from './imageModel.ts'
import { splitLinkTarget } from './layerPath.ts'
import { isDisplaced, missingLinkTarget } from './linkTargets.ts'
import { splitLast } from './lowerStack.ts'
import { directoriesAbove } from './pathOrder.ts'
import type { ReadableTree, TreeNode } from './tree.ts'

/** The layers below one that becomes an image. */
export interface LayersBelow {
  /** What they show together. */
  readonly tree: ReadableTree
  /** Where the content of one of their files lies, in devices of the image that is made. */
  locate(path: string, node: TreeNode): Promise<readonly ErofsExtent[]>
}

export interface LayerImageOptions {
  /** Undefined for the base. */
  readonly below?: LayersBelow | undefined
  /** Where the content of a file of the layer lies, in devices of the image. */
  readonly place: (node: LayerNode) => readonly ErofsExtent[]
}

/** As the kernel's limit for one path (MAXSYMLINKS). */
const SYMLINKS = 40

/**
 * A layer as the tree of an EROFS image in overlayfs' own form, complete: what `applyLayer` with the dialect
 * `overlay` and `completeLayer` make on a disk, without its contents.
 *
 * Rejects with `invalidArgument` (STRATA_HARD_LINK_TARGET) when the target of a hard link is nowhere.
 */
export async function layerImageTree(index: LayerIndex, { below, place }: LayerImageOptions): Promise<ErofsDirectory> {
  const model = readImageModel(index, place)
  await new ImageCompletion(model, below).run()
  return model.root
}

/** What completeLayer.ts does in a directory, in a model. */
class ImageCompletion {
  readonly #model: ImageModel
  readonly #root: ImageDirectory
  readonly #below: LayersBelow | undefined
  /** Copies of files below whose own names the layer hides. */
  readonly #hiddenCopies = new Map<string, ErofsNode>()

  constructor(model: ImageModel, below: LayersBelow | undefined) {
    this.#model = model
    this.#root = model.root
    this.#below = below
  }

  async run(): Promise<void> {
    const { hiding, opaqueRoot, links, implied } = this.#model
    for (const directory of hiding) if ((await this.#lower(directory))?.type !== 'directory') this.#dropWhiteouts(directory)
    if (opaqueRoot) await this.#hideBelowRoot()
    const names = new Set(links.map(([path]) => path))
    for (const [path, target] of links) await this.#link({ path, target }, names)
    for (const directory of implied) await this.#inherit(directory)
  }

  async #lower(path: string): Promise<TreeNode | undefined> {
    return this.#below?.tree.lstat(path)
  }

  /** overlayfs would list whiteouts of what is not there. */
  #dropWhiteouts(path: string): void {
    const { children } = findNode(this.#root, path) as ImageDirectory
    for (const [name, node] of children) if (node === WHITEOUT) children.delete(name)
  }

  /** overlayfs never looks for the mark of an opaque directory on a root. */
  async #hideBelowRoot(): Promise<void> {
    for (const name of (await this.#below?.tree.list('')) ?? []) {
      const own = this.#root.children.get(name)
      if (own === undefined) this.#root.children.set(name, WHITEOUT)
      else if (own instanceof ImageDirectory) own.hide()
    }
  }

  async #link({ path, target }: { readonly path: string; readonly target: string }, names: ReadonlySet<string>): Promise<void> {
    const resolved = await this.#resolve(target)
    if (resolved === undefined || isDisplaced(names, resolved) || directoriesAbove(resolved).some(at => this.#isReplaced(at)))
      throw missingLinkTarget(path, target, undefined)
    const own = findNode(this.#root, resolved)
    if (own !== undefined && own !== WHITEOUT) {
      if (own.type === 'directory') throw missingLinkTarget(path, target, undefined)
      this.#put(path, own)
      return
    }
    const copy = this.#hiddenCopies.get(resolved) ?? (await this.#copyOf(resolved))
    if (copy === undefined) throw missingLinkTarget(path, target, undefined)
    // Where the layer hides the target, only the new names show what it had.
    if (own === undefined && (await this.#makeParents(splitLast(resolved).directory))) this.#put(resolved, copy)
    else this.#hiddenCopies.set(resolved, copy)
    this.#put(path, copy)
  }

  async #copyOf(path: string): Promise<ErofsNode | undefined> {
    const found = await this.#lower(path)
    if (found === undefined || found.type === 'directory') return undefined
    return nodeOf(found, found.type === 'file' && found.size > 0 ? await this.#below!.locate(path, found) : [])
  }

  /** Tells whether the layer has something else than a directory at a path; whiteouts only hide. */
  #isReplaced(path: string): boolean {
    const own = findNode(this.#root, path)
    return own !== undefined && own !== WHITEOUT && own.type !== 'directory'
  }

  #put(path: string, node: ErofsNode): void {
    const { directory, name } = parentDirectory(this.#root, path)
    directory.children.set(name, node)
  }

  /** Follows the symlinks in the directory part of a path below, inside the root. */
  async #resolve(path: string): Promise<string | undefined> {
    const pending = path.split('/').toReversed()
    const done: string[] = []
    let symlinks = 0
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      if (name === '..') {
        done.pop()
        continue
      }
      done.push(name)
      if (pending.length === 0) break
      const here = done.join('/')
      const found = await this.#lower(here)
      if (found?.type !== 'symlink') continue
      symlinks += 1
      if (symlinks > SYMLINKS || findNode(this.#root, here)?.type === 'directory') return undefined
      if (found.linkTarget!.startsWith('/')) done.length = 0
      else done.pop()
      pending.push(...splitLinkTarget(found.linkTarget!).toReversed())
    }
    return done.join('/')
  }

  /** Makes the directories of a path that is copied up, as they are below; false where the layer hides them or what is in them. */
  async #makeParents(path: string): Promise<boolean> {
    if (path === '') return true
    if (!(await this.#makeParents(splitLast(path).directory))) return false
    const own = findNode(this.#root, path)
    if (own !== undefined) return own instanceof ImageDirectory && !own.opaque
    const found = await this.#lower(path)
    if (found?.type !== 'directory') return false
    this.#put(path, new ImageDirectory(found, false))
    return true
  }

  async #inherit(path: string): Promise<void> {
    const found = await this.#lower(path)
    const own = findNode(this.#root, path)
    if (found?.type === 'directory' && own instanceof ImageDirectory) own.inherit(found)
  }
}

/** Where the pieces of a file are in the layer's own tar. */
export function extentsInTar(
  { size, sparse, dataOffset }: Pick<LayerNode, 'size' | 'dataOffset'> & { readonly sparse?: LayerNode['sparse'] | undefined },
  device: number,
): readonly ErofsExtent[] {
  if (sparse === undefined) return [{ offset: 0, size, device, position: dataOffset }]
  let position = dataOffset
  const extents: ErofsExtent[] = []
  for (const piece of sparse) {
    if (piece.size > 0) extents.push({ offset: piece.offset, size: piece.size, device, position })
    position += piece.size
  }
  return extents
}
