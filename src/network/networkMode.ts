import { StrataError } from '../base/index.ts'

/** What `--network` asks for. */
export type NetworkMode =
  | { readonly kind: 'bridge' | 'host' | 'none' }
  /** The namespace of another container, by name or id. */
  | { readonly kind: 'container'; readonly container: string }
  /** A network that a user made. */
  | { readonly kind: 'network'; readonly name: string }

/** Reads `--network`; '' and `default` are `bridge`. Throws `invalidArgument` (STRATA_INVALID_NETWORK_MODE) for `container:` without a name. */
export function parseNetworkMode(text: string): NetworkMode {
  if (text === '' || text === 'default') return { kind: 'bridge' }
  if (text === 'bridge' || text === 'host' || text === 'none') return { kind: text }
  if (!text.startsWith('container:')) return { kind: 'network', name: text }
  const container = text.slice('container:'.length)
  if (container === '') {
    throw new StrataError('invalidArgument', 'STRATA_INVALID_NETWORK_MODE', 'Cannot use network "container:": it does not name a container')
  }
  return { kind: 'container', container }
}
