import type { ImageRecord, ImageStore } from '../image/index.ts'
import { familiarName, parseReference } from '../oci/index.ts'
import type { ImageListOptions, ImageSummary } from './images.ts'

/** The images, one summary for each image id. Reads no blob. */
export function listImages(images: ImageStore, options: ImageListOptions): readonly ImageSummary[] {
  const before = options.before === undefined ? undefined : createdAtOf(images.resolve(options.before))
  const since = options.since === undefined ? undefined : createdAtOf(images.resolve(options.since))
  const records = images.list()
  const parents = new Set(records.map(({ parentId }) => parentId))
  const all = mergeById(records)
  const { references } = options
  return (references === undefined ? all : all.flatMap(image => named(image, references))).filter(image => {
    const isUnseen = image.isPart || parents.has(image.id as ImageRecord['id'])
    if (options.all !== true && image.tags.length + image.digests.length === 0 && isUnseen) return false
    if (options.dangling === true && image.isPart) return false
    if (options.dangling !== undefined && options.dangling !== (image.tags.length === 0)) return false
    if (before !== undefined && image.createdAt >= before) return false
    if (since !== undefined && image.createdAt <= since) return false
    if (options.until !== undefined && image.createdAt >= options.until) return false
    return (options.labels ?? []).every(label => hasLabel(image.labels, label))
  })
}

/** Whether labels have `key`, or `key=value`. */
export function hasLabel(labels: Readonly<Record<string, string>>, wanted: string): boolean {
  const [key = '', ...value] = wanted.split('=')
  return Object.hasOwn(labels, key) && (value.length === 0 || labels[key] === value.join('='))
}

/** Two manifests with one config are one image to the user. */
function mergeById(records: readonly ImageRecord[]): readonly ImageSummary[] {
  const merged = new Map<string, ImageSummary>()
  for (const record of records) {
    const summary = summaryOf(record)
    const other = merged.get(record.id)
    merged.set(
      record.id,
      other === undefined
        ? summary
        : {
            ...other,
            tags: [...new Set([...other.tags, ...summary.tags])].sort(),
            digests: [...new Set([...other.digests, ...summary.digests])].sort(),
            isPart: other.isPart && summary.isPart,
          },
    )
  }
  return [...merged.values()]
}

function summaryOf(image: ImageRecord): ImageSummary {
  return {
    id: image.id,
    parentId: image.parentId ?? '',
    tags: image.names,
    digests: image.repositoryDigests,
    createdAt: createdAtOf(image),
    sizeBytes: image.contentBytes,
    isPart: image.isPartOfIndex && image.names.length + image.repositoryDigests.length === 0,
    labels: image.labels,
  }
}

/** An image that does not tell is as old as can be, as docker shows it. */
const createdAtOf = (image: ImageRecord): Date => image.createdAt ?? new Date(0)

/**
 * docker's `reference` filter: a shell pattern over the familiar name with or without the tag, or with the digest. An image
 * is listed under those of its names only that match.
 */
function named(image: ImageSummary, patterns: readonly string[]): readonly ImageSummary[] {
  const regexps = patterns.map(pattern => shellPattern(familiarPattern(pattern)))
  const matches = (name: string): boolean => regexps.some(regexp => regexp.test(name) || regexp.test(repositoryOf(name)))
  const tags = image.tags.filter(matches)
  const digests = image.digests.filter(matches)
  return tags.length + digests.length === 0 ? [] : [{ ...image, tags, digests }]
}

function repositoryOf(name: string): string {
  const { domain, path } = parseReference(name)
  return familiarName({ domain, path })
}

/** What people write out (`docker.io/library/debian`) is matched as what is shown. */
const familiarPattern = (pattern: string): string => pattern.replace(/^(?:docker\.io\/)?(?:library\/)?/, '')

function shellPattern(pattern: string): RegExp {
  const source = pattern.replaceAll(/\[[^\]]*\]|[*?]|[^*?[]+|\[/g, part => {
    if (part === '*') return '[^/]*'
    if (part === '?') return '[^/]'
    return /^\[.+\]$/.test(part) ? part.replace(/^\[!/, '[^') : RegExp.escape(part)
  })
  return new RegExp(`^${source}$`)
}
