import { statSync } from 'node:fs'
import { join } from 'node:path'
import { systemError } from '../base/index.ts'
import { type Extent, ImageFiles } from './imageFiles.ts'

/**
 * The files below a directory. Symlinks are followed, as people share blobs between layouts; names come from digests and
 * from the formats, never from a document.
 */
export class DirectoryFiles extends ImageFiles {
  readonly #path: string

  constructor(path: string) {
    super(`directory "${path}"`)
    this.#path = path
  }

  has(name: string): boolean {
    return this.find(name) !== undefined
  }

  protected find(name: string): Extent | undefined {
    const path = join(this.#path, name)
    try {
      const stats = statSync(path, { throwIfNoEntry: false })
      return stats?.isFile() === true ? { path, start: 0, end: stats.size } : undefined
    } catch (error) {
      throw systemError(`read "${path}"`, error)
    }
  }
}
