import { StrataError } from '../../base/index.ts'
import type { CopyOptions, CopyReport } from '../../engine/index.ts'
import { writeChunk } from '../byteOutput.ts'
import { defineCommand, type Command } from '../command.ts'
import type { Invocation } from '../invocation.ts'
import { flag } from '../options.ts'
import { humanSize } from '../sizes.ts'

interface Place {
  /** Undefined is this machine. */
  readonly container: string | undefined
  readonly path: string
}

export const command: Command = defineCommand({
  usage: '[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tstrata cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH',
  options: {
    archive: flag('Keep numeric owners', { short: 'a' }),
    'follow-link': flag('Follow a symbolic link that is the source itself', { short: 'L' }),
    quiet: flag('Print no summary', { short: 'q' }),
  },
  operands: [2, 2],
  async run(invocation, { archive, 'follow-link': followLink, quiet }, [sourceText = '', targetText = '']) {
    const source = readPlace(sourceText)
    const target = readPlace(targetText)
    if (source.container !== undefined && target.container !== undefined) {
      throw new StrataError('unsupported', 'STRATA_INVALID_COPY', 'Cannot copy between containers: one side must be this machine')
    }
    const options: CopyOptions = { keepOwners: archive, followLink }
    if (source.container !== undefined) {
      const report = await copyOut(invocation, source.container, source.path, target.path, options)
      if (report !== undefined && !quiet) complainCopied(invocation, report, target.path)
      return 0
    }
    if (target.container === undefined) {
      throw new StrataError('invalidArgument', 'STRATA_INVALID_COPY', 'Cannot copy: neither side names a container', {
        hint: 'Write the path in a container as CONTAINER:PATH.',
      })
    }
    const report = await copyIn(invocation, source.path, target.container, target.path, options)
    if (!quiet && source.path !== '-') complainCopied(invocation, report, targetText)
    return 0
  },
})

/** `CONTAINER:PATH`; what starts with `/` or `.` is a path of this machine whatever colons it has. */
export function readPlace(text: string): Place {
  const colon = text.indexOf(':')
  if (colon < 1 || text.startsWith('/') || text.startsWith('.')) return { container: undefined, path: text }
  return { container: text.slice(0, colon), path: text.slice(colon + 1) }
}

async function copyOut(
  invocation: Invocation,
  container: string,
  path: string,
  target: string,
  options: CopyOptions,
): Promise<CopyReport | undefined> {
  const engine = await invocation.engine()
  const call = { ...options, signal: invocation.interruption() }
  if (target !== '-') return engine.copyToHost(container, path, target, call)
  const { stdout } = invocation.surroundings
  if (stdout.isTTY === true) {
    throw new StrataError('invalidArgument', 'STRATA_OUTPUT_IS_TERMINAL', 'Cannot write an archive to a terminal: it is not text', {
      hint: 'Redirect the output.',
    })
  }
  const { tar } = await engine.copyFrom(container, path, call)
  for await (const chunk of tar) await writeChunk(stdout, chunk)
  return undefined
}

async function copyIn(invocation: Invocation, source: string, container: string, path: string, options: CopyOptions): Promise<CopyReport> {
  const engine = await invocation.engine()
  const call = { ...options, signal: invocation.interruption() }
  if (source === '-') return engine.copyTo(container, path, invocation.surroundings.stdin, call)
  return engine.copyFromHost(source, container, path, call)
}

function complainCopied(invocation: Invocation, { bytes }: CopyReport, target: string): void {
  invocation.complain(`Successfully copied ${humanSize(bytes)} to ${target}\n`)
}
