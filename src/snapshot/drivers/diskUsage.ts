import { directoryTree } from '../../layer/index.ts'
import type { Usage } from '../driver.ts'

/** Walks a directory of the store and adds up content bytes and inodes, an inode once. */
export async function diskUsage(directory: string): Promise<Usage> {
  const tree = directoryTree(directory)
  try {
    const counted = new Set<string>()
    let bytes = 0
    const pending = ['']
    for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
      const node = await tree.lstat(path)
      // Gone since its directory was listed: a running container changes its layer.
      if (node === undefined) continue
      if (node.type === 'directory') {
        for (const name of await tree.list(path)) pending.push(path === '' ? name : `${path}/${name}`)
      }
      if (counted.has(node.inode)) continue
      counted.add(node.inode)
      bytes += node.size
    }
    return { bytes, inodes: counted.size }
  } finally {
    await tree.close()
  }
}
