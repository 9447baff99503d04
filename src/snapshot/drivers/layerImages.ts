import { copyFile, mkdir, open, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { existsSync, linkSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type ByteStream, CHUNK_BYTES, errnoOf } from '../../base/index.ts'
import { canHoldExtents, type ErofsDevice, type ErofsDirectory, type ErofsExtent } from '../../erofs/index.ts'
import {
  type ByteRange,
  completeImage,
  decodeLayerIndex,
  directoryTree,
  extentsInTar,
  IMAGE_ROOT,
  imageBytes,
  type ImageFile,
  type ImageTree,
  imageTree,
  layerImageTree,
  type LayerNode,
  mergedImageTree,
  type ReadableTree,
  type TreeNode,
} from '../../layer/index.ts'
import { overlayUnion } from '../../union/index.ts'
import { syncDirectoryFileSystem } from './syncDirectory.ts'

/*
 * <image>/          what one mount of EROFS needs
 *   index           the layer index, until the image is complete
 *   image           the metadata
 *   image.pending   what completeImage has left to do
 *   data.0          the first device: of a layer, its own plain tar
 *   data.1 …        what else has contents: tars of layers below (hard links), files of a container layer below,
 *                   sparse files whose pieces are no whole blocks
 *
 * An image keeps all its contents itself, so that it does not matter what becomes of the states below.
 */

/** Contents begin at multiples of it, as those of a tar do. */
const BLOCK_BYTES = 512

/** A state below: a directory in overlayfs' own form, or the directory of an image. */
export type LowerState = { readonly directory: string } | { readonly image: string }

/** The path of the layer's root where its image is mounted. */
export function rootIn(mountPoint: string): string {
  return join(mountPoint, IMAGE_ROOT)
}

function hasImage(image: string): boolean {
  return existsSync(join(image, 'image'))
}

export function imageFile(image: string): ImageFile {
  const count = readdirSync(image).filter(name => name.startsWith('data.')).length
  return { path: join(image, 'image'), devices: Array.from({ length: count }, (_, n) => join(image, `data.${n}`)) }
}

/** What the states show together, top first. The caller closes it. */
export function stateUnion(states: readonly LowerState[]): ReadableTree {
  return overlayUnion(states.map(state => ('image' in state ? imageTree(imageFile(state.image)) : state.directory)))
}

/**
 * Open images of states that change no more: of a deep stack each is opened once, however many stand on it, and asked once
 * for a directory that all of them have.
 */
export class SealedStates implements AsyncDisposable {
  readonly #images = new Map<string, SealedImage>()

  /** What the states show together, top first. */
  union(states: readonly LowerState[]): ReadableTree {
    return overlayUnion(states.map(state => ('image' in state ? this.#open(state.image) : state.directory)))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const image of this.#images.values()) await image.end()
  }

  #open(image: string): SealedImage {
    const open = this.#images.get(image) ?? new SealedImage(imageTree(imageFile(image)))
    this.#images.set(image, open)
    return open
  }
}

/** So many answers of an image are kept. */
const KNOWN_NODES = 1000

/** An image that the unions in which it stands do not close. */
class SealedImage implements ReadableTree {
  readonly #tree: ImageTree
  readonly #nodes = new Map<string, Promise<TreeNode | undefined>>()

  constructor(tree: ImageTree) {
    this.#tree = tree
  }

  lstat(path: string): Promise<TreeNode | undefined> {
    let node = this.#nodes.get(path)
    if (node === undefined) {
      node = this.#tree.lstat(path)
      if (this.#nodes.size >= KNOWN_NODES) this.#nodes.clear()
      this.#nodes.set(path, node)
    }
    return node
  }

  list(path: string): Promise<readonly string[]> {
    return this.#tree.list(path)
  }

  open(path: string, range?: ByteRange): ByteStream {
    return this.#tree.open(path, range)
  }

  async close(): Promise<void> {}

  end(): Promise<void> {
    return this.#tree.close()
  }
}

/**
 * Makes the image of a layer what it is above the states below. Idempotent.
 *
 * @param sealed where the states below are open, for the layers of one stack
 */
export async function completeLayerImage(image: string, below: readonly LowerState[], sealed: SealedStates): Promise<void> {
  const index = join(image, 'index')
  if (!existsSync(index)) return
  const lower = sealed.union(below)
  try {
    if (!hasImage(image) || !(await completeImage(imageFile(image), lower))) await makeAnew(image, below)
  } finally {
    await lower.close()
  }
  rmSync(join(image, 'image.pending'), { force: true })
  rmSync(index)
}

async function makeAnew(image: string, below: readonly LowerState[]): Promise<void> {
  const index = decodeLayerIndex(await readFile(join(image, 'index')))
  const contents = new Contents(image, below)
  try {
    contents.add(join(image, 'data.0'))
    const expanded = new Map<number, number>()
    for (const node of index.payloads()) {
      if (node.sparse === undefined || canHoldExtents(node.size, extentsInTar(node, 0))) continue
      expanded.set(node.dataOffset, await contents.expand(node))
    }
    const tree = await layerImageTree(index, {
      ...(below.length === 0 ? {} : { below: { tree: contents.tree, locate: (path, node) => contents.locate(path, node.inode) } }),
      place: node => {
        const device = expanded.get(node.dataOffset)
        return device === undefined ? extentsInTar(node, 0) : [{ offset: 0, size: node.size, device, position: 0 }]
      },
    })
    await rename(await contents.write(tree), join(image, 'image'))
  } finally {
    await contents.close()
  }
}

/** Makes one image of what states show together, and that durable. Idempotent; nobody else makes the same meanwhile. */
export async function writeMergedImage(image: string, states: readonly LowerState[]): Promise<void> {
  if (hasImage(image)) return
  await rm(image, { recursive: true, force: true })
  await mkdir(image, { mode: 0o700 })
  const contents = new Contents(image, states)
  try {
    const written = await contents.write(await contents.merged())
    // No record is waited for: whoever finds it takes it for whole.
    await syncDirectoryFileSystem(image)
    await rename(written, join(image, 'image'))
  } finally {
    await contents.close()
  }
}

/** The contents that an image names, gathered in its directory. */
class Contents {
  readonly tree: ReadableTree
  readonly #image: string
  /** By the path that begins the `inode` of their files. */
  readonly #images = new Map<string, ImageTree>()
  readonly #directories = new Map<string, ReadableTree>()
  readonly #devices: ErofsDevice[] = []
  readonly #numbers = new Map<string, Promise<number>>()

  constructor(image: string, states: readonly LowerState[]) {
    this.#image = image
    for (const state of states) {
      if ('directory' in state) this.#directories.set(state.directory, directoryTree(state.directory))
      else {
        const tree = imageTree(imageFile(state.image))
        this.#images.set(tree.file.path, tree)
      }
    }
    this.tree = stateUnion(states)
  }

  /** Counts a file that is there under its name. */
  add(path: string): void {
    this.#devices.push({ bytes: statSync(path).size })
  }

  /** Makes a device of a sparse file whose pieces in the tar are no whole blocks. Its holes stay holes. */
  async expand(node: LayerNode): Promise<number> {
    const number = this.#devices.length
    await using from = await open(join(this.#image, 'data.0'), 'r')
    await using to = await open(join(this.#image, `data.${number}`), 'w', 0o600)
    await to.truncate(Math.ceil(node.size / BLOCK_BYTES) * BLOCK_BYTES)
    for (const { offset, size, position } of extentsInTar(node, 0)) {
      for (let done = 0; done < size; done += CHUNK_BYTES) {
        const { buffer, bytesRead } = await from.read(Buffer.alloc(Math.min(CHUNK_BYTES, size - done)), { position: position + done })
        await to.write(buffer, 0, bytesRead, offset + done)
      }
    }
    this.#devices.push({ bytes: node.size })
    return number
  }

  /** Where the content of a file of the states lies, in devices of this image. */
  async locate(path: string, inode: string): Promise<readonly ErofsExtent[]> {
    const image = this.#images.get(inode.slice(0, inode.lastIndexOf(':')))
    if (image !== undefined) {
      return Promise.all(
        image.extents(inode)!.map(async extent => ({
          ...extent,
          device: await this.#number(extent.device === -1 ? image.file.path : image.file.devices[extent.device]!, 'link'),
        })),
      )
    }
    for (const [directory, tree] of this.#directories) {
      const node = await tree.lstat(path)
      if (node?.inode !== inode) continue
      return [{ offset: 0, size: node.size, device: await this.#number(join(directory, path), 'copy'), position: 0 }]
    }
    throw new Error(`no content of ${path}`)
  }

  /** The tree that the states show, as nodes. */
  merged(): Promise<ErofsDirectory> {
    return mergedImageTree(this.tree, (path, node) => this.locate(path, node.inode))
  }

  /** Resolves with the path of the metadata, which is not yet the image's. */
  async write(layer: ErofsDirectory): Promise<string> {
    const partial = join(this.#image, 'image.partial')
    await writeFile(partial, imageBytes(layer, this.#devices), { mode: 0o600 })
    return partial
  }

  async close(): Promise<void> {
    await this.tree.close()
    for (const tree of [...this.#images.values(), ...this.#directories.values()]) await tree.close()
  }

  #number(path: string, how: 'link' | 'copy'): Promise<number> {
    let number = this.#numbers.get(path)
    if (number === undefined) {
      number = this.#take(path, how)
      this.#numbers.set(path, number)
    }
    return number
  }

  async #take(path: string, how: 'link' | 'copy'): Promise<number> {
    const number = this.#devices.length
    this.#devices.push({ bytes: statSync(path).size })
    const own = join(this.#image, `data.${number}`)
    // What a crash has left here.
    await rm(own, { force: true })
    if (how === 'link') await linkOrCopy(path, own)
    else {
      await copyFile(path, own)
      // The kernel reads whole blocks.
      await truncate(own, Math.ceil(statSync(own).size / BLOCK_BYTES) * BLOCK_BYTES)
    }
    return number
  }
}

/** Gives a file another name, or where that cannot be, a copy. */
export async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    linkSync(from, to)
  } catch (error) {
    const errno = errnoOf(error)
    if (errno !== 'EXDEV' && errno !== 'EMLINK' && errno !== 'EPERM') throw error
    await copyFile(from, to)
  }
}

/** Leaves a layer's tar under another name too, and makes it something that the kernel can read: it reads whole blocks. */
export async function shareTar(tar: string, bytes: number, other: string | undefined): Promise<void> {
  if (bytes % BLOCK_BYTES === 0) {
    if (other !== undefined) await linkOrCopy(tar, other)
    return
  }
  // A tar may end with the last byte of a content.
  if (other !== undefined) await copyFile(tar, other)
  await truncate(tar, Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES)
}
