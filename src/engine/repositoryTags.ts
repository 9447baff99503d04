import { parseReference, type Reference } from '../oci/index.ts'
import type { Stores } from './stores.ts'

/** The names that a repository has here. */
export function tagsOf(stores: Stores, { domain, path }: Reference): readonly Reference[] {
  const names = stores.images.roots().map(({ name }) => parseReference(name))
  return names.filter(name => name.domain === domain && name.path === path)
}
