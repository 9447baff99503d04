import { StrataError } from '../base/index.ts'
import type { AddInstruction, CopyInstruction, RunInstruction } from '../dockerfile/index.ts'

/**
 * Refuses what an instruction asks for and a build cannot do: nothing is left out in silence.
 *
 * @throws StrataError `unsupported` (STRATA_BUILD_UNSUPPORTED)
 */
export function refuseUnsupported(instruction: RunInstruction | CopyInstruction | AddInstruction): void {
  const asked = instruction.name === 'RUN' ? askedOfRun(instruction) : instruction.name === 'ADD' ? askedOfAdd(instruction) : undefined
  if (asked === undefined) return
  throw new StrataError('unsupported', 'STRATA_BUILD_UNSUPPORTED', `Cannot build image: ${asked} is not supported`)
}

function askedOfRun({ mounts, security, heredocs }: RunInstruction): string | undefined {
  const [mount] = mounts
  if (mount !== undefined) return `RUN --mount=type=${mount.type}`
  if (security === 'insecure') return 'RUN --security=insecure'
  return heredocs.some(({ content }) => content.startsWith('#!')) ? 'a here-document that names its interpreter' : undefined
}

const URL = /^(?:https?:\/\/|git@|git:\/\/|ssh:\/\/)/
const ARCHIVE = /\.(?:tar(?:\.\w+)?|tgz|tbz2?|txz|tzst)$/i

function askedOfAdd({ sources, checksum, unpack }: AddInstruction): string | undefined {
  if (checksum !== undefined) return 'ADD --checksum'
  for (const source of sources) {
    if (!('path' in source)) continue
    if (URL.test(source.path)) return `ADD of "${source.path}"`
    if (unpack === true || (unpack === undefined && ARCHIVE.test(source.path))) return `ADD of the archive "${source.path}"`
  }
  return undefined
}
