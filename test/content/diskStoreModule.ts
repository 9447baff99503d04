import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { type DiskContentStore, openContent } from '../../src/content/index.ts'
import { openMetadata, openRootDirectory } from '../../src/metadata/index.ts'
import { blobPath, type Descriptor } from '../../src/oci/index.ts'

/** The disk store for the conformance suite and for other processes of tests. */
export async function openStore(root: string): Promise<DiskContentStore & AsyncDisposable> {
  const metadata = openMetadata(openRootDirectory(root))
  return Object.assign(openContent({ root, metadata }), {
    async [Symbol.asyncDispose](): Promise<void> {
      metadata.close()
    },
  })
}

export async function damageBlob(root: string, target: Descriptor): Promise<void> {
  await using file = await open(join(root, blobPath(target.digest)), 'r+')
  const byte = Buffer.alloc(1)
  const at = Math.floor(target.size / 2)
  await file.read(byte, 0, 1, at)
  byte[0]! ^= 0x10
  await file.write(byte, 0, 1, at)
}
