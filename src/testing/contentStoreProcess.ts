import { once } from 'node:events'
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { StrataError, streamOf } from '../base/index.ts'
import type { ContentStore } from '../content/index.ts'
import type { Descriptor } from '../oci/index.ts'

/** What the module of a content store under test exports. */
export interface ContentStoreModule {
  /** Opens the store in a directory that exists; several processes may have it open. */
  readonly openStore: (root: string) => Promise<ContentStore & AsyncDisposable>
  /** Changes one bit of the stored bytes of a blob, behind the store's back. */
  readonly damageBlob: (root: string, target: Descriptor) => Promise<void>
}

/** What another process does with the store. */
export type ContentStoreJob =
  /** Puts blobs, and writes a line after each. */
  | { readonly action: 'put'; readonly blobs: readonly { readonly target: Descriptor; readonly fill: number }[] }
  /** Writes `bytes` of the target's bytes into an ingest, writes a line, and waits `holdMs`; commits when all are there. */
  | { readonly action: 'ingest'; readonly target: Descriptor; readonly fill: number; readonly bytes: number; readonly holdMs: number }

/** A running process, its lines and its end. */
export interface ContentStoreProcess {
  readonly process: ChildProcessByStdio<null, Readable, null>
  /** Resolves after the next line of the process. */
  nextLine(): Promise<string>
  /** Rejects when the process failed. */
  ended(): Promise<void>
}

/** Starts another process that opens the same store. */
export function startProcess(module: URL, root: string, job: ContentStoreJob): ContentStoreProcess {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), module.href, root, JSON.stringify(job)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exit = once(child, 'exit')
  return {
    process: child,
    async nextLine() {
      const [chunk] = await once(child.stdout, 'data')
      return String(chunk)
    },
    async ended() {
      const [code, signal] = (await exit) as [number | null, string | null]
      if (code !== 0)
        throw new StrataError('internal', 'STRATA_TEST_PROCESS', `Cannot use the store in another process: it ended with ${code ?? signal}`)
    },
  }
}

/** Bytes that a test and its processes make alike: counted up from `fill`, so that no two chunks are equal. */
export function testBytes(fill: number, size: number): Buffer {
  const bytes = Buffer.alloc(size)
  for (let at = 0; at + 4 <= size; at += 4) bytes.writeUInt32LE((fill * 2_654_435_761 + at) >>> 0, at)
  return bytes
}

async function main([moduleUrl = '', root = '', text = '']: readonly string[]): Promise<void> {
  const { openStore } = (await import(moduleUrl)) as ContentStoreModule
  await using store = await openStore(root)
  const job = JSON.parse(text) as ContentStoreJob
  if (job.action === 'put') {
    for (const { target, fill } of job.blobs) {
      await store.put(target, streamOf(testBytes(fill, target.size)))
      process.stdout.write(`${target.digest}\n`)
    }
    return
  }
  const { target } = job
  await using ingest = await store.ingest(target.digest, { target })
  if (ingest.stored !== undefined) {
    process.stdout.write('stored\n')
    return
  }
  await ingest.write(streamOf(testBytes(job.fill, target.size).subarray(ingest.size, job.bytes)))
  process.stdout.write(`written ${ingest.size}\n`)
  await sleep(job.holdMs)
  if (ingest.size === target.size) await ingest.commit(target)
}

if (import.meta.main) await main(process.argv.slice(2))
