import { createHash } from 'node:crypto'
import { access, copyFile, link, mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createWriteStream } from 'node:fs'
import { type ByteStream, fileStream, observed } from '../../src/base/index.ts'
import { compress } from '../../src/compression/index.ts'
import { CURRENT_DIRECTORY, removeTreeAt } from '../../src/host/index.ts'
import { directoryTree, flatten, overlayChanges, packLayer } from '../../src/layer/index.ts'
import { overlayUnion } from '../../src/union/index.ts'
import { must } from '../programs.ts'

/** Bytes in a file, with their SHA-256 in hex. */
export interface StoredBytes {
  readonly path: string
  readonly hex: string
  readonly size: number
}

/** The directory in which images are made: what a step has finished is there and is not made again. */
export class Workshop {
  readonly root: string

  constructor(root: string) {
    this.root = root
  }

  /** Where the finished images go. */
  get images(): string {
    return join(this.root, 'images')
  }

  /** The path of a layer's plain tar; made from `bytes` when it is not there. */
  async layer(name: string, bytes: () => Promise<ByteStream> | Iterable<Uint8Array> | ByteStream): Promise<string> {
    const path = join(this.images, 'layers', `${name}.tar`)
    if (!(await exists(path))) {
      console.error(`images: making layer ${name}`)
      await writeWhole(path, await bytes())
    }
    return path
  }

  /** A directory tree that `make` fills. */
  async tree(name: string, make: (directory: string) => Promise<void>): Promise<string> {
    const path = join(this.root, name)
    if (await exists(path)) return path
    console.error(`images: making ${name}`)
    const partial = `${path}.partial`
    removeTreeAt(CURRENT_DIRECTORY, partial)
    await mkdir(partial, { recursive: true })
    await make(partial)
    await rename(partial, path)
    return path
  }

  /**
   * What `change` does to the trees below, as a tree of its own: an overlayfs upper directory.
   *
   * @param lowers top first
   */
  async upper(name: string, lowers: readonly string[], change: (merged: string) => Promise<void>): Promise<string> {
    return this.tree(join('work-img', name), async partial => {
      const [work, merged] = [`${partial}-work`, `${partial}-merged`]
      for (const path of [work, merged]) await mkdir(path, { recursive: true })
      // Without redirects, copies of metadata only and an index, the upper directory holds all that was changed.
      const options = `lowerdir=${lowers.join(':')},upperdir=${partial},workdir=${work},redirect_dir=off,metacopy=off,index=off`
      await must('mount', ['-t', 'overlay', '-o', options, 'overlay', merged])
      try {
        await change(merged)
      } finally {
        await must('umount', ['--recursive', merged])
        for (const path of [work, merged]) removeTreeAt(CURRENT_DIRECTORY, path)
      }
    })
  }

  /** The gzip form of a layer, made once for all images that have it. */
  async gzipped(layer: StoredBytes): Promise<StoredBytes> {
    const path = join(this.images, 'gz', `${layer.hex}.gz`)
    if (!(await exists(path))) await writeWhole(path, compress(fileStream(layer.path), 'gzip', { level: 6 }))
    return describeFile(path)
  }
}

/** The plain layer tar of a whole tree. */
export async function* packTree(directory: string): AsyncGenerator<Uint8Array> {
  const tree = directoryTree(directory)
  try {
    yield* flatten(tree)
  } finally {
    await tree.close()
  }
}

/** The plain layer tar of an overlayfs upper directory. */
export async function* packUpper(upper: string, lowers: readonly string[]): AsyncGenerator<Uint8Array> {
  const [tree, below] = [directoryTree(upper), overlayUnion(lowers)]
  try {
    yield* packLayer(overlayChanges(upper, below), tree)
  } finally {
    await Promise.all([tree.close(), below.close()])
  }
}

/** Writes a file that is there as a whole or not at all. */
export async function writeWhole(path: string, bytes: Iterable<Uint8Array> | ByteStream): Promise<void> {
  await mkdir(join(path, '..'), { recursive: true })
  const partial = `${path}.partial-${process.pid}`
  try {
    await pipeline(bytes, createWriteStream(partial))
    await rename(partial, path)
  } finally {
    await rm(partial, { force: true })
  }
}

export async function describeFile(path: string): Promise<StoredBytes> {
  const hash = createHash('sha256')
  let size = 0
  const counted = observed(fileStream(path), chunk => {
    hash.update(chunk)
    size += chunk.length
  })
  for await (const chunk of counted) void chunk
  return { path, hex: hash.digest('hex'), size }
}

/** A second name for a file where the disk allows it, else a copy. */
export async function linkOrCopy(from: string, to: string): Promise<void> {
  await link(from, to).catch(async error => {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') await copyFile(from, to)
  })
}

export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
