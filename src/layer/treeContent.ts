import { constants } from 'node:fs'
import { type ByteStream, CHUNK_BYTES, systemError } from '../base/index.ts'
import { close, CURRENT_DIRECTORY, O_PATH, openAt, openBeneath } from '../host/index.ts'
import type { LayerNode } from './entry.ts'
import { quotePath } from './layerPath.ts'
import { fileContent, readPart } from './fileContent.ts'

/** Reads the payloads of a layer's files from the directory that it was applied to, for `rebuildTar`. */
export class TreeContent implements Disposable {
  readonly #root: number

  constructor(directory: string) {
    this.#root = openAt(CURRENT_DIRECTORY, directory, O_PATH | constants.O_DIRECTORY)
  }

  [Symbol.dispose](): void {
    close(this.#root)
  }

  /** The content of a file, or for a sparse one its extents one after the other. What is small is read at once. */
  payload(node: LayerNode): Uint8Array | ByteStream {
    if (node.sparse !== undefined) return this.#extents(node)
    return node.size <= CHUNK_BYTES ? this.#whole(node) : fileContent(this.#root, node.path, { end: node.size })
  }

  #whole(node: LayerNode): Uint8Array {
    try {
      // The layer said that it is a file; should it be something else by now, O_NONBLOCK keeps the open from waiting.
      const fd = openBeneath(this.#root, node.path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY)
      try {
        return readPart(fd, 0, node.size)
      } finally {
        close(fd)
      }
    } catch (error) {
      throw systemError(`read ${quotePath(node.path)}`, error)
    }
  }

  async *#extents(node: LayerNode): AsyncGenerator<Uint8Array> {
    for (const { offset, size } of node.sparse!) yield* fileContent(this.#root, node.path, { start: offset, end: offset + size })
  }
}
