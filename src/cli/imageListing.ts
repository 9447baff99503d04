import type { HistoryEntry, ImageSummary } from '../engine/index.ts'
import { goTime, humanAgo, rfc3339 } from './durations.ts'
import type { Listing } from './listing.ts'
import { humanSize } from './sizes.ts'
import { ellipsis, shortId } from './tables.ts'

const NONE = '<none>'

/** A line of `images`: one name of an image. */
export interface ImageRow {
  readonly image: ImageSummary
  readonly repository: string
  readonly tag: string
  readonly digest: string
}

/**
 * The lines of an image: one for each tag, with `digests` for each tag and digest of a repository;
 * repositories that are known by digest alone, and images without any name, have one too.
 */
export function imageRows(image: ImageSummary, digests: boolean): readonly ImageRow[] {
  const repositories = new Map<string, { tags: string[]; digests: string[] }>()
  const repository = (name: string): { tags: string[]; digests: string[] } => {
    const known = repositories.get(name) ?? { tags: [], digests: [] }
    repositories.set(name, known)
    return known
  }
  for (const name of image.tags) {
    const colon = name.lastIndexOf(':')
    repository(name.slice(0, colon)).tags.push(name.slice(colon + 1))
  }
  for (const name of image.digests) {
    const at = name.indexOf('@')
    repository(name.slice(0, at)).digests.push(name.slice(at + 1))
  }
  if (repositories.size === 0) return [{ image, repository: NONE, tag: NONE, digest: NONE }]
  return [...repositories].flatMap(([name, known]) => {
    const tags = known.tags.length === 0 ? [NONE] : known.tags
    const shown = known.digests.length === 0 || !digests ? [known.digests[0] ?? NONE] : known.digests
    return tags.flatMap(tag => shown.map(digest => ({ image, repository: name, tag, digest })))
  })
}

export interface ShownHow {
  readonly now: Date
  /** `--no-trunc` */
  readonly whole: boolean
}

export function imageListing({ now, whole }: ShownHow, digests: boolean): Listing<ImageRow> {
  return {
    fields: {
      Repository: { header: 'REPOSITORY', text: row => row.repository },
      Tag: { header: 'TAG', text: row => row.tag },
      Digest: { header: 'DIGEST', text: row => row.digest },
      ID: { header: 'IMAGE ID', text: ({ image }) => (whole ? image.id : shortId(image.id)) },
      CreatedSince: { header: 'CREATED', text: ({ image }) => humanAgo(image.createdAt, now) },
      CreatedAt: { header: 'CREATED AT', text: ({ image }) => goTime(image.createdAt) },
      Size: { header: 'SIZE', text: ({ image }) => humanSize(image.sizeBytes) },
      Containers: { header: 'CONTAINERS', text: ({ image }) => String(image.containers ?? 'N/A') },
      SharedSize: { header: 'SHARED SIZE', text: ({ image }) => sizeOrUnknown(image.sharedBytes) },
      UniqueSize: {
        header: 'UNIQUE SIZE',
        text: ({ image }) => sizeOrUnknown(image.sharedBytes === undefined ? undefined : image.sizeBytes - image.sharedBytes),
      },
      VirtualSize: { header: 'SIZE', text: ({ image }) => humanSize(image.sizeBytes) },
    },
    columns: ['Repository', 'Tag', ...(digests ? ['Digest'] : []), 'ID', 'CreatedSince', 'Size'],
    identity: 'ID',
    labels: row => row.image.labels,
  }
}

function sizeOrUnknown(bytes: number | undefined): string {
  return bytes === undefined ? 'N/A' : humanSize(bytes)
}

/** docker's width of CREATED BY. */
const CREATED_BY_WIDTH = 45

/** @param human `--human`: sizes and times for people rather than programs */
export function historyListing({ now, whole }: ShownHow, human: boolean): Listing<HistoryEntry> {
  return {
    fields: {
      ID: { header: 'IMAGE', text: ({ imageId }) => (imageId === undefined ? '<missing>' : whole ? imageId : shortId(imageId)) },
      CreatedSince: { header: 'CREATED', text: ({ createdAt }) => humanAgo(createdAt, now) },
      CreatedAt: { header: 'CREATED AT', text: ({ createdAt }) => (createdAt === undefined ? '' : rfc3339(createdAt)) },
      CreatedBy: {
        header: 'CREATED BY',
        text: ({ createdBy }) => {
          const line = createdBy.replaceAll('\t', ' ')
          return whole ? line : ellipsis(line, CREATED_BY_WIDTH)
        },
      },
      Size: { header: 'SIZE', text: ({ sizeBytes }) => (human ? humanSize(sizeBytes) : String(sizeBytes)) },
      Comment: { header: 'COMMENT', text: ({ comment }) => comment },
    },
    columns: ['ID', human ? 'CreatedSince' : 'CreatedAt', 'CreatedBy', 'Size', 'Comment'],
    identity: 'ID',
  }
}
