import { digestHex, formatReference, type ImageId, isDigest, type Reference } from '../oci/index.ts'

/** Where an image comes from, as a policy sees it. */
export type ImagePlace =
  /** A registry, or a daemon's store. @property reference with a tag or a digest; undefined for an id in a daemon */
  | { readonly transport: 'docker' | 'docker-daemon'; readonly reference: Reference | undefined }
  /** @property path absolute, without symlinks: of the directory, or of the archive */
  | { readonly transport: 'dir' | 'oci' | 'oci-archive'; readonly path: string }
  | { readonly transport: 'docker-archive' | 'tarball' }
  /** This store, for what was made here. */
  | {
      readonly transport: 'containers-storage'
      readonly driver: string
      readonly root: string
      /** Its name with a tag, or its id. */
      readonly meant: Reference | ImageId
    }

const PATHS: ReadonlySet<string> = new Set(['dir', 'oci', 'oci-archive', 'sif'])
const WITHOUT_SCOPES: ReadonlySet<string> = new Set(['docker-archive', 'tarball'])

/** What keeps `scope` from standing in a policy; undefined when nothing does. Scopes of unknown transports are not looked at. */
export function checkScope(transport: string, scope: string): string | undefined {
  if (scope === '') return undefined
  if (WITHOUT_SCOPES.has(transport)) return `is a scope where ${transport} has only ""`
  if (transport === 'docker-daemon' && isDigest(scope)) return 'is an image id, of which docker-daemon has no scopes'
  if (!PATHS.has(transport)) return undefined
  if (scope === '/') return 'is the root; the default of a transport is ""'
  return /^(?:\/(?!\.{1,2}(?:\/|$))[^/]+)+$/.test(scope) ? undefined : 'is not an absolute path without ".", ".." and repeated or final "/"'
}

/** The scopes that a place is in, the most exact one first. */
export function* scopesOf(place: ImagePlace): Generator<string> {
  switch (place.transport) {
    case 'docker':
    case 'docker-daemon':
      if (place.reference !== undefined) {
        yield* nameScopes(place.reference)
        yield* domainScopes(place.reference.domain)
      }
      break
    case 'dir':
    case 'oci':
    case 'oci-archive':
      for (let path = place.path; path !== ''; path = path.slice(0, path.lastIndexOf('/'))) yield path
      break
    case 'containers-storage': {
      const store = `[${place.driver}@${place.root}]`
      if (typeof place.meant === 'string') yield `${store}@${digestHex(place.meant)}`
      else for (const scope of nameScopes(place.meant)) yield store + scope
      yield store
      yield `[${place.root}]`
      break
    }
    default:
  }
  yield ''
}

/** `host:5000/team/app:1`, `host:5000/team/app`, `host:5000/team`, `host:5000` */
function* nameScopes(reference: Reference): Generator<string> {
  yield formatReference(reference)
  let name = formatReference({ domain: reference.domain, path: reference.path })
  for (;;) {
    yield name
    const slash = name.lastIndexOf('/')
    if (slash === -1) return
    name = name.slice(0, slash)
  }
}

/** Of `registry.example.com:5000`: `*.example.com`, `*.com`. */
function* domainScopes(domain: string): Generator<string> {
  let host = domain.replace(/:\d+$/, '')
  for (let dot = host.indexOf('.'); dot !== -1; dot = host.indexOf('.')) {
    host = host.slice(dot + 1)
    yield `*.${host}`
  }
}
