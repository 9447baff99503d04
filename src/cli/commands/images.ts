import { defineCommand, type Command } from '../command.ts'
import { Filters } from '../filters.ts'
import { imageListing, imageRows } from '../imageListing.ts'
import { formatOption, printListing, quietOption } from '../listing.ts'
import { flag, list } from '../options.ts'

const FILTERS = ['dangling', 'label', 'before', 'since', 'until', 'reference']

export const command: Command = defineCommand({
  usage: '[OPTIONS] [REPOSITORY[:TAG]]',
  options: {
    all: flag('Also those that are only parents of others, or other platforms of one', { short: 'a' }),
    digests: flag('With digests'),
    filter: list('Only those that match (name=value)', { short: 'f', value: 'filter' }),
    format: formatOption(),
    'no-trunc': flag('Shorten nothing'),
    quiet: quietOption('IDs alone'),
  },
  operands: [0, 1],
  async run(invocation, { all, digests, filter, format, 'no-trunc': whole, quiet }, operands) {
    const now = invocation.surroundings.now()
    const filters = new Filters(filter, FILTERS, now)
    const references = [...operands, ...(filters.list('reference', 'references').references ?? [])]
    const engine = await invocation.engine()
    const images = await engine.images({
      all,
      ...(references.length === 0 ? {} : { references }),
      ...filters.list('label', 'labels'),
      ...filters.truth('dangling', 'dangling'),
      ...filters.single('before', 'before'),
      ...filters.single('since', 'since'),
      ...filters.time('until', 'until'),
    })
    const withDigests = digests || format?.includes('.Digest') === true
    const newestFirst = [...images].sort((a, b) => b.createdAt.getTime() - a.createdAt.getTime())
    const rows = newestFirst.flatMap(image => imageRows(image, withDigests))
    await printListing(invocation, imageListing({ now, whole }, digests), rows, { format, quiet, setting: 'imagesFormat' })
    return 0
  },
})
