/*
 * node bench/takeLayers.ts LAYOUT DIRECTORY
 * The least that taking an image can cost: each layer of an OCI layout is read, hashed, inflated, hashed again and
 * written as a plain tar that is synced, on all cores, and nothing else is done.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { type ByteStream, fileStream, observed } from '../src/base/index.ts'
import { decompress } from '../src/compression/index.ts'
import { isalInflater } from '../src/host/index.ts'

interface Layer {
  readonly digest: string
  readonly size: number
}

function blobPath(layout: string, digest: string): string {
  return join(layout, 'blobs', digest.replace(':', '/'))
}

function layersOf(layout: string): readonly Layer[] {
  const { manifests } = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as { manifests: readonly Layer[] }
  const manifest = JSON.parse(readFileSync(blobPath(layout, manifests[0]!.digest), 'utf8')) as { layers: readonly Layer[] }
  return manifest.layers
}

/** Takes one layer with the fastest inflate there is, which has a thread of its own, as the disk has; this one only hashes. */
async function take(layout: string, digest: string, directory: string): Promise<void> {
  const compressed = createHash('sha256')
  const plain = createHash('sha256')
  await using file = await open(join(directory, digest.replace(':', '-')), 'w')
  const blob: ByteStream = observed(fileStream(blobPath(layout, digest)), chunk => compressed.update(chunk))
  for await (const chunk of decompress(blob, { lent: true, inflater: isalInflater() })) {
    const written = file.writeFile(chunk)
    plain.update(chunk)
    await written
  }
  if (`sha256:${compressed.digest('hex')}` !== digest) throw new Error(`Cannot take layer ${digest}: its bytes are others`)
  plain.digest()
  await file.sync()
}

interface Task {
  readonly layout: string
  readonly directory: string
}

async function takeAll({ layout, directory }: Task): Promise<void> {
  // The largest first: the last thread to end then ends soonest.
  const waiting = layersOf(layout).toSorted((a, b) => a.size - b.size)
  const threads = Array.from({ length: availableParallelism() }, async () => {
    const worker = new Worker(new URL(import.meta.url), { workerData: { layout, directory } satisfies Task })
    for (let layer = waiting.pop(); layer !== undefined; layer = waiting.pop()) {
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- that is of browsers' windows
      worker.postMessage(layer.digest)
      await once(worker, 'message')
    }
    await worker.terminate()
  })
  await Promise.all(threads)
}

if (isMainThread) {
  const [layout, directory] = process.argv.slice(2)
  await takeAll({ layout: layout!, directory: directory! })
} else {
  const { layout, directory } = workerData as Task
  parentPort!.on('message', (digest: string) => {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- that is of browsers' windows
    void take(layout, digest, directory).then(() => parentPort!.postMessage('taken'))
  })
}
