import { posix } from 'node:path'
import { StrataError } from '../../base/index.ts'

export interface CopySource {
  /** The last part of the path. */
  readonly name: string
  readonly isDirectory: boolean
  /** The path ends with `/.`: what is in the directory, not the directory. */
  readonly contentsOnly: boolean
}

export interface CopyTarget {
  /** As it is written, for messages. */
  readonly text: string
  /** Without links. */
  readonly path: string
  readonly type: 'directory' | 'other' | 'absent'
}

export interface CopyPlan {
  /** An existing directory. */
  readonly directory: string
  /** What the source is called there; undefined: its content goes into the directory. */
  readonly name: string | undefined
}

/**
 * Where a copy goes: the table of docs.docker.com, `docker container cp`.
 *
 * Throws `notFound` when the target directory must exist and does not, `invalidArgument` for a directory onto a file.
 */
export function planCopy(source: CopySource, target: CopyTarget): CopyPlan {
  const wantsDirectory = /(?:^|\/)\.{0,2}$/.test(target.text) && target.text !== ''
  const beside = (): CopyPlan => ({ directory: posix.dirname(target.path), name: posix.basename(target.path) })
  switch (target.type) {
    case 'directory':
      return { directory: target.path, name: source.isDirectory && source.contentsOnly ? undefined : source.name }
    case 'other':
      if (source.isDirectory) throw invalid(target.text, 'a directory cannot be copied to a file')
      if (wantsDirectory) throw invalid(target.text, 'it is not a directory')
      return beside()
    case 'absent':
      if (source.isDirectory || !wantsDirectory) return beside()
      throw new StrataError('notFound', 'STRATA_NO_TARGET_DIRECTORY', `Cannot copy to "${target.text}": the directory does not exist`)
    default:
      return target.type satisfies never
  }
}

/** What a source path says beyond which file it means. */
export function readSource(text: string): { readonly contentsOnly: boolean; readonly wantsDirectory: boolean; readonly name: string } {
  const contentsOnly = text === '.' || text.endsWith('/.')
  const name = posix.basename(posix.normalize(`/${text}`))
  return { contentsOnly: contentsOnly || name === '', wantsDirectory: contentsOnly || text.endsWith('/'), name }
}

function invalid(target: string, state: string): StrataError {
  return new StrataError('invalidArgument', 'STRATA_INVALID_COPY', `Cannot copy to "${target}": ${state}`)
}
