import { StrataError } from '../../base/index.ts'

/** Leaves out what is undefined, so that an absent option is an absent key. */
export function present<T extends object>(options: { readonly [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T
}

/** @param flag the flag with its value, as in `--restart "sometimes"` */
export function invalidFlag(flag: string, state: string): StrataError {
  return new StrataError('invalidArgument', 'STRATA_INVALID_FLAG', `Cannot use ${flag}: ${state}`)
}
