import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { Writable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import { Durability, errnoOf, type ByteStream, publishFile, StrataError, systemError } from '../base/index.ts'
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
  if (await isRegularOrAbsent(path)) {
    const bytes = await open()
    try {
      await publishFile(path, bytes, new Durability(wantsFsync(invocation.globals, invocation.surroundings.env)))
    } catch (error) {
      throw errnoOf(error) === undefined ? error : systemError(`write "${path}"`, error)
    }
    return
  }
  // A device or a FIFO is written to as it is: renaming would replace it.
  const output = createWriteStream(path)
  await pipeline(await open(), output)
  await finished(output)
}

async function isRegularOrAbsent(path: string): Promise<boolean> {
  try {
    const facts = await stat(path)
    if (facts.isDirectory()) throw new StrataError('invalidArgument', 'STRATA_EISDIR', `Cannot write "${path}": it is a directory`)
    return facts.isFile()
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return true
    throw systemError(`write "${path}"`, error)
  }
}
