import { isStrataError } from '../base/index.ts'
import { type Fields, formatReference, parseReference, type Reference } from '../oci/index.ts'

/** How the name in a signature must agree with the name of the image. containers-policy.json(5) "signedBy" */
export type SignedIdentity =
  | { readonly type: 'matchExact' | 'matchRepoDigestOrExact' | 'matchRepository' }
  | { readonly type: 'exactReference' | 'exactRepository'; readonly reference: Reference }
  | { readonly type: 'remapIdentity'; readonly prefix: string; readonly signedPrefix: string }

/** What counts where a policy says nothing. */
export const DEFAULT_IDENTITY: SignedIdentity = { type: 'matchRepoDigestOrExact' }

/** Reads a `signedIdentity` of a policy. @throws StrataError the error of the document */
export function decodeSignedIdentity(fields: Fields): SignedIdentity {
  const type = fields.require('type', fields.string('type'))
  switch (type) {
    case 'matchExact':
    case 'matchRepoDigestOrExact':
    case 'matchRepository':
      fields.refuseOthers(['type'])
      return { type }
    case 'exactReference': {
      const reference = decodeReference(fields, 'dockerReference')
      if (isBare(reference)) throw fields.error('dockerReference', 'has neither a tag nor a digest')
      return { type, reference }
    }
    case 'exactRepository': {
      const reference = decodeReference(fields, 'dockerRepository')
      if (!isBare(reference)) throw fields.error('dockerRepository', 'has a tag or a digest, of which a repository has none')
      return { type, reference }
    }
    case 'remapIdentity':
      fields.refuseOthers(['type', 'prefix', 'signedPrefix'])
      return { type, prefix: decodePrefix(fields, 'prefix'), signedPrefix: decodePrefix(fields, 'signedPrefix') }
    default:
      throw fields.error('type', 'is no way to match an identity')
  }
}

function decodeReference(fields: Fields, name: string): Reference {
  fields.refuseOthers(['type', name])
  const reference = parsed(fields.require(name, fields.string(name)))
  if (reference === undefined) throw fields.error(name, 'is no name of an image')
  return reference
}

/** A host or a namespace in full form: names can stand below it. */
function decodePrefix(fields: Fields, name: string): string {
  const prefix = fields.require(name, fields.string(name))
  const below = parsed(`${prefix}/x/y`)
  if (below !== undefined && formatReference(below) === `${prefix}/x/y`) return prefix
  throw fields.error(name, 'is neither a host nor a namespace or repository in full form, as docker.io/library')
}

/**
 * Whether a signature for the name `signed` counts for an image.
 *
 * @param image what the image is called where it comes from, with a tag or a digest; undefined where it has no name
 */
export function isIdentityAccepted(identity: SignedIdentity, signed: Reference, image: Reference | undefined): boolean {
  switch (identity.type) {
    case 'exactReference':
      return formatReference(signed) === formatReference(identity.reference)
    case 'exactRepository':
      return isSameRepository(signed, identity.reference)
    case 'matchRepository':
      return image !== undefined && isSameRepository(signed, image)
    case 'matchExact':
      return image !== undefined && !isBare(image) && formatReference(signed) === formatReference(image)
    case 'matchRepoDigestOrExact':
      return matchesRepoDigestOrExact(signed, image)
    case 'remapIdentity':
      return matchesRepoDigestOrExact(signed, image === undefined ? undefined : remapped(image, identity))
    default:
      return identity satisfies never
  }
}

/** A signature that names only a repository says nothing of tags, so it is not enough here. */
function matchesRepoDigestOrExact(signed: Reference, image: Reference | undefined): boolean {
  if (image === undefined || isBare(signed)) return false
  if (image.tag !== undefined) return formatReference(signed) === formatReference(image)
  return image.digest !== undefined && isSameRepository(signed, image)
}

/** Undefined where the new name would be none. */
function remapped(
  image: Reference,
  { prefix, signedPrefix }: { readonly prefix: string; readonly signedPrefix: string },
): Reference | undefined {
  const name = formatReference({ domain: image.domain, path: image.path })
  if (name !== prefix && !name.startsWith(`${prefix}/`)) return image
  const text = signedPrefix + formatReference(image).slice(prefix.length)
  const reference = parsed(text)
  return reference !== undefined && formatReference(reference) === text ? reference : undefined
}

const isBare = ({ tag, digest }: Reference): boolean => tag === undefined && digest === undefined

const isSameRepository = (a: Reference, b: Reference): boolean => a.domain === b.domain && a.path === b.path

function parsed(text: string): Reference | undefined {
  try {
    return parseReference(text)
  } catch (error) {
    if (isStrataError(error, 'invalidArgument')) return undefined
    throw error
  }
}
