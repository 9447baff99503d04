import { close, CURRENT_DIRECTORY, openAt, writeAll } from '../host/index.ts'
import { constants, readFileSync, writeFileSync } from 'node:fs'
import { errnoOf } from '../base/index.ts'
import { attributeChanges, canHoldExtents, canHoldXattr, type ErofsChange } from '../erofs/index.ts'
import { type ImageFile, imageTree } from './imageFile.ts'
import { extentsInTar } from './layerImage.ts'
import { LayerDirectory, type LayerModel, subtree } from './layerModel.ts'
import type { ReadableTree } from './tree.ts'

/** What is left to do of an image that was made before the layers below were there. */
interface PendingImage {
  /** Directories that take the attributes of the one below. */
  readonly implied: readonly string[]
  /** Directories with whiteouts in them. */
  readonly hiding: readonly string[]
}

const pendingPath = (image: string): string => `${image}.pending`

/** Tells whether the image of a layer can be made of its tar alone, but for what `completeImage` changes in it. */
export function isImageable(model: LayerModel): boolean {
  if (model.lowerLinks.length > 0 || model.root.opaque) return false
  for (const { inode } of subtree(model.root))
    if (inode.sparse !== undefined && !canHoldExtents(inode.size, extentsInTar(inode, 0))) return false
  return true
}

/** Notes what `completeImage` has to do for the image of a finished model. */
export function writePendingImage(image: string, model: LayerModel): void {
  const implied: string[] = []
  const hiding: string[] = []
  for (const node of subtree(model.root)) {
    if (!(node instanceof LayerDirectory)) continue
    if (node.implied) implied.push(node.path)
    if (node.whiteouts !== undefined) hiding.push(node.path)
  }
  if (implied.length + hiding.length === 0) return
  writeFileSync(pendingPath(image), JSON.stringify({ implied, hiding } satisfies PendingImage), { mode: 0o600 })
}

/**
 * Does in an image that `keepLayer` wrote what needs the layers below. May be called again.
 * Resolves with false where more than attributes would have to change: the image has to be made anew.
 *
 * @param below what the layers below show
 */
export async function completeImage(file: ImageFile, below: ReadableTree): Promise<boolean> {
  const pending = readPending(file.path)
  if (pending === undefined) return true
  for (const path of pending.hiding) if ((await below.lstat(path))?.type !== 'directory') return false
  const changes: ErofsChange[] = []
  const image = imageTree(file)
  try {
    for (const path of pending.implied) {
      const found = await below.lstat(path)
      if (found?.type !== 'directory') continue
      const inode = image.inode(path)
      if (inode?.changeable !== true || [...found.xattrs].some(([name, value]) => canHoldXattr(name, value))) return false
      changes.push(...attributeChanges(inode, found))
    }
  } finally {
    await image.close()
  }
  const fd = openAt(CURRENT_DIRECTORY, file.path, constants.O_WRONLY)
  try {
    for (const { bytes, position } of changes) writeAll(fd, bytes, position)
  } finally {
    close(fd)
  }
  return true
}

function readPending(image: string): PendingImage | undefined {
  try {
    return JSON.parse(readFileSync(pendingPath(image), 'utf8')) as PendingImage
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}
