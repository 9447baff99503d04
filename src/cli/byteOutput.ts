import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { type ByteStream, deliverFile, Durability, StrataError } from '../base/index.ts'
import { wantsFsync } from './globals.ts'
import type { Invocation } from './invocation.ts'

/** Writes with respect for back-pressure. */
export async function writeChunk(output: Writable, chunk: Uint8Array | string): Promise<void> {
  if (!output.write(chunk)) await once(output, 'drain')
}

/**
 * Writes an archive where `--output` says, or to stdout; never to a terminal. A regular file appears
 * when it is whole.
 *
 * @param open makes the bytes; called only when there is a place for them
 */
export async function writeArchiveTo(invocation: Invocation, path: string | undefined, open: () => Promise<ByteStream>): Promise<void> {
  if (path === undefined) {
    const { stdout } = invocation.surroundings
    if (stdout.isTTY === true) {
      throw new StrataError('invalidArgument', 'STRATA_OUTPUT_IS_TERMINAL', 'Cannot write an archive to a terminal: it is not text', {
        hint: 'Use -o FILE, or redirect the output.',
      })
    }
    for await (const chunk of await open()) await writeChunk(stdout, chunk)
    return
  }
  await deliverFile(path, open, new Durability(wantsFsync(invocation.globals, invocation.surroundings.env)))
}
