import { isStrataError } from '../base/index.ts'
import { parseReference } from '../oci/index.ts'
import type { Handler } from './exchange.ts'
import { RegistryError } from './registryError.ts'

type Method = 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'

/** What one kind of path answers to. */
export interface Route {
  /** Groups: the repository's name, and the last part. */
  readonly path: RegExp
  /** `GET`, and `HEAD`: the same without a body, which the handler minds. */
  readonly read?: Handler
  /** What needs the right to push. */
  readonly writes?: Readonly<Partial<Record<Method, Handler>>>
}

export interface Match {
  readonly handle: Handler
  readonly isWrite: boolean
  readonly name: string
  readonly reference: string
}

/** The paths of the distribution-spec, "Endpoints". A name has slashes in it, and may itself contain such words: the last ones count. */
export const PATHS: Readonly<Record<'root' | 'catalog' | 'upload' | 'uploads' | 'blob' | 'manifest' | 'tags' | 'referrers', RegExp>> = {
  root: /^\/v2\/?$/,
  catalog: /^\/v2\/_catalog$/,
  upload: /^\/v2\/(.+)\/blobs\/uploads\/([^/]+)$/,
  uploads: /^\/v2\/(.+)\/blobs\/uploads\/?$/,
  blob: /^\/v2\/(.+)\/blobs\/([^/]+)$/,
  manifest: /^\/v2\/(.+)\/manifests\/([^/]+)$/,
  tags: /^\/v2\/(.+)\/tags\/list$/,
  referrers: /^\/v2\/(.+)\/referrers\/([^/]+)$/,
}

/** The longest path that is looked at: a name of 255 characters and a digest of 135 have room. */
const LONGEST_PATH = 1024

/**
 * Finds who answers a request.
 *
 * @param path of the URL, as it came
 * @throws RegistryError 404 for a path that is none of the spec's, 405 for a method that it does not have, NAME_INVALID
 */
export function matchRoute(routes: readonly Route[], method: string, path: string): Match {
  const decoded = decodePath(path)
  for (const route of routes) {
    const [found, name = '', reference = ''] = route.path.exec(decoded) ?? []
    if (found === undefined) continue
    if (name !== '') checkName(name)
    const { read, writes = {} } = route
    if (read !== undefined && (method === 'GET' || method === 'HEAD')) return { handle: read, isWrite: false, name, reference }
    const handle = Object.hasOwn(writes, method) ? writes[method as Method] : undefined
    if (handle !== undefined) return { handle, isWrite: true, name, reference }
    const allow = [...(read === undefined ? [] : ['GET', 'HEAD']), ...Object.keys(writes)].join(', ')
    throw new RegistryError('UNSUPPORTED', 'this registry does not do that', { headers: { allow } })
  }
  throw new RegistryError('UNSUPPORTED', 'no such path', { status: 404 })
}

function decodePath(path: string): string {
  try {
    if (path.length <= LONGEST_PATH) return decodeURIComponent(path)
  } catch {
    // An escape that is none.
  }
  throw new RegistryError('NAME_INVALID', 'the path cannot be read')
}

/** distribution-spec "Pulling manifests", `<name>` */
function checkName(name: string): void {
  try {
    const { path, tag, digest } = parseReference(`localhost/${name}`)
    if (path === name && tag === undefined && digest === undefined) return
  } catch (error) {
    if (!isStrataError(error, 'invalidArgument')) throw error
  }
  throw new RegistryError('NAME_INVALID', 'a repository name has lower-case letters and digits, separated by "/", ".", "_", "__" or "-"')
}
