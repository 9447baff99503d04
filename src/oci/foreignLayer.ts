import type { Descriptor } from './descriptor.ts'
import { quoted } from './quoted.ts'

/** Addresses that are shown of those that a layer may have. */
const SHOWN = 3

/** Where a layer that is not handed on can be had: a hint for people, since Strata follows no address out of an image (CVE-2020-15157). */
export function publisherHint({ urls = [] }: Descriptor): string {
  const places = urls.slice(0, SHOWN).map(quoted).join(', ')
  return `Whoever made the image gives it out at ${places === '' ? 'a place of their own' : places}.`
}
