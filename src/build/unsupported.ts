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
  for (const { type, from } of mounts) {
    if (type !== 'cache' && type !== 'tmpfs') return `RUN --mount=type=${type}`
    if (from !== undefined) return `RUN --mount=type=${type} with "from"`
  }
  if (security === 'insecure') return 'RUN --security=insecure'
  return heredocs.some(({ content }) => content.startsWith('#!')) ? 'a here-document that names its interpreter' : undefined
}

const URL = /^(?:https?:\/\/|git@|git:\/\/|ssh:\/\/)/

function askedOfAdd({ sources, checksum }: AddInstruction): string | undefined {
  if (checksum !== undefined) return 'ADD --checksum'
  const fetched = sources.find(source => 'path' in source && URL.test(source.path))
  return fetched === undefined ? undefined : 'ADD of what has to be fetched'
}
