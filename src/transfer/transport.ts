import { StrataError } from '../base/index.ts'
import { parseReference, quoted, type Reference, withDefaultTag, withoutPassword } from '../oci/index.ts'

/** A place that has images, and which of them is meant. containers-transports(5); `strata` is the store of this root. */
export type Transport =
  | { readonly kind: 'docker'; readonly reference: Reference }
  /** `image` is a name, or a position in the archive's `manifest.json`. */
  | { readonly kind: 'docker-archive'; readonly path: string; readonly image?: Reference | number }
  /** `name` is the annotation `org.opencontainers.image.ref.name`, mostly a tag; or a position as in a docker-archive, else in `index.json`. */
  | { readonly kind: 'oci' | 'oci-archive'; readonly path: string; readonly name?: string | number }
  | { readonly kind: 'dir'; readonly path: string }
  /** What people type for an image: a name or an id. */
  | { readonly kind: 'strata'; readonly reference: string }

/** What `org.opencontainers.image.ref.name` may be. image-spec annotations.md */
const COMPONENT = '[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*'
const REF_NAME = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`)
/** Far longer than any reference, so that the expression's time is bounded. */
const MAX_REF_NAME = 1024
const POSITION = /^@(0|[1-9]\d{0,8})$/

const SPELLINGS =
  'docker://REF, docker-archive:PATH[:REF|:@INDEX], oci:DIR[:TAG|:@INDEX], oci-archive:PATH[:TAG|:@INDEX], dir:DIR or strata:REF'

/**
 * Reads where an image is or shall go, `<transport>:<details>` as containers-transports(5) has it. A path ends at its first colon.
 *
 * @throws StrataError STRATA_TRANSPORT_INVALID, or STRATA_REFERENCE_INVALID for the reference in it
 */
export function parseTransport(text: string): Transport {
  const colon = text.indexOf(':')
  const [kind, details] = [text.slice(0, Math.max(colon, 0)), text.slice(colon + 1)]
  switch (kind) {
    case 'docker':
      if (!details.startsWith('//')) throw invalid(text, 'docker: is followed by //', 'Write docker://REF.')
      return { kind, reference: withDefaultTag(parseReference(details.slice(2))) }
    case 'docker-archive': {
      const { path, rest } = splitArchivePath(text, details)
      return { kind, path, ...(rest === undefined ? {} : { image: imageIn(text, rest) }) }
    }
    case 'oci':
    case 'oci-archive': {
      const { path, rest } = kind === 'oci' ? splitPath(text, details) : splitArchivePath(text, details)
      const position = positionIn(rest)
      if (position !== undefined) return { kind, path, name: position }
      if (rest !== undefined && (rest.length > MAX_REF_NAME || !REF_NAME.test(rest)))
        throw invalid(text, `${quoted(rest)} is no name of an image in a layout`)
      return { kind, path, ...(rest === undefined ? {} : { name: rest }) }
    }
    case 'dir':
      if (details === '') throw invalid(text, 'it names no directory')
      return { kind, path: details }
    case 'strata':
      if (details === '') throw invalid(text, 'it names no image')
      return { kind, reference: details }
    default:
      throw invalid(text, 'it does not say where that is', `Expected ${SPELLINGS}.`)
  }
}

function splitPath(text: string, details: string): { readonly path: string; readonly rest: string | undefined } {
  const colon = details.indexOf(':')
  const path = colon === -1 ? details : details.slice(0, colon)
  if (path === '') throw invalid(text, 'it names no file or directory')
  return { path, rest: colon === -1 ? undefined : details.slice(colon + 1) }
}

/** Other tools take `-` for a stream: a file of that name would be a surprise. */
function splitArchivePath(text: string, details: string): ReturnType<typeof splitPath> {
  const parts = splitPath(text, details)
  if (parts.path !== '-') return parts
  throw invalid(text, '"-" is no file', 'Write /dev/stdout to have the archive there, or ./- for a file of that name.')
}

function imageIn(text: string, details: string): Reference | number {
  const position = positionIn(details)
  if (position !== undefined) return position
  if (details.startsWith('@')) throw invalid(text, 'what follows "@" is no position in the archive')
  const reference = parseReference(details)
  if (reference.digest !== undefined) throw invalid(text, 'an image of a docker-archive has no digest')
  return withDefaultTag(reference)
}

function positionIn(details: string | undefined): number | undefined {
  const digits = POSITION.exec(details ?? '')?.[1]
  return digits === undefined ? undefined : Number(digits)
}

function invalid(text: string, state: string, hint?: string): StrataError {
  return new StrataError(
    'invalidArgument',
    'STRATA_TRANSPORT_INVALID',
    `Cannot parse image location ${quoted(withoutPassword(text))}: ${state}`,
    {
      ...(hint === undefined ? {} : { hint }),
    },
  )
}
