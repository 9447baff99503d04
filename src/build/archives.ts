import { isStrataError } from '../base/index.ts'
import { decompress } from '../compression/index.ts'
import type { ReadableTree } from '../layer/index.ts'
import { readTar } from '../tar/index.ts'

/** Whether a file is a tar, compressed or not: what is in it says so, not its name. Dockerfile reference, "Adding local tar archives". */
export async function isArchive(tree: ReadableTree, path: string): Promise<boolean> {
  const node = await tree.lstat(path)
  if (node?.type !== 'file' || node.size === 0) return false
  try {
    for await (const _ of readTar(decompress(tree.open(path)))) return true
    return false
  } catch (error) {
    // Neither a tar nor anything that is known to be compressed.
    if (isStrataError(error, 'invalidArgument') || isStrataError(error, 'dataLoss') || isStrataError(error, 'unsupported')) return false
    throw error
  }
}
