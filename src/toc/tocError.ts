import { StrataError } from '../base/index.ts'

/** @param state what is wrong, as the end of a sentence */
export function tocError(state: string, cause?: unknown): StrataError {
  return new StrataError(
    'invalidArgument',
    'STRATA_TOC_INVALID',
    `Cannot read table of contents: ${state}`,
    cause === undefined ? {} : { cause },
  )
}
