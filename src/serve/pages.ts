import { RegistryError } from './registryError.ts'

/** What one answer lists at most; more is on the next page. */
const LONGEST_PAGE = 10_000

export interface Page {
  readonly items: readonly string[]
  /** The query of the next page; undefined on the last one. */
  readonly next: string | undefined
}

/**
 * A part of a list as `n` and `last` ask for it, in the order of ASCII. distribution-spec "Listing Tags"
 *
 * @throws RegistryError 400 for an `n` that is no count
 */
export function pageOf(all: Iterable<string>, query: URLSearchParams): Page {
  const asked = query.get('n')
  if (asked !== null && !/^\d+$/.test(asked))
    throw new RegistryError('UNSUPPORTED', 'n is not a whole number that is not negative', { status: 400 })
  const last = query.get('last') ?? ''
  const count = Math.min(asked === null ? LONGEST_PAGE : Number(asked), LONGEST_PAGE)
  const following = [...all].sort(compareAscii).filter(item => compareAscii(item, last) > 0)
  const items = following.slice(0, count)
  const end = items.at(-1)
  const next = end === undefined || following.length <= count ? undefined : `n=${count}&last=${encodeURIComponent(end)}`
  return { items, next }
}

const compareAscii = (a: string, b: string): number => (a < b ? -1 : a === b ? 0 : 1)
