import { containerListing } from '../containerListing.ts'
import { defineCommand, type Command } from '../command.ts'
import { Filters } from '../filters.ts'
import { formatOption, printListing, quietOption } from '../listing.ts'
import { flag, integer, list } from '../options.ts'

const FILTERS = [
  ...['id', 'name', 'label', 'status', 'exited', 'health', 'ancestor', 'before', 'since', 'volume', 'network', 'publish', 'expose'],
]
const STATUSES = ['created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead'] as const
const HEALTH = ['starting', 'healthy', 'unhealthy', 'none'] as const

export const command: Command = defineCommand({
  usage: '[OPTIONS]',
  options: {
    all: flag('Also those that do not run', { short: 'a' }),
    filter: list('Only those that match (name=value)', { short: 'f', value: 'filter' }),
    format: formatOption(),
    last: integer('Only the newest N, in whatever state', { short: 'n', shownDefault: '-1' }),
    latest: flag('Only the newest, in whatever state', { short: 'l' }),
    'no-trunc': flag('Shorten nothing'),
    quiet: quietOption('IDs alone'),
    size: flag('With sizes', { short: 's' }),
  },
  operands: [0, 0],
  async run(invocation, { all, filter, format, last = -1, latest, 'no-trunc': whole, quiet, size }) {
    const now = invocation.surroundings.now()
    const filters = new Filters(filter, FILTERS, now)
    const limit = latest ? 1 : last
    const engine = await invocation.engine()
    const containers = await engine.containers({
      all,
      // Measuring is slow; a format that shows sizes asks for it, too.
      size: size || /\.Size\b/.test(format ?? ''),
      ...(limit > 0 ? { limit } : {}),
      ...filters.list('id', 'ids'),
      ...filters.list('name', 'names'),
      ...filters.list('label', 'labels'),
      ...filters.words('status', 'statuses', STATUSES),
      ...filters.numbers('exited', 'exitCodes'),
      ...filters.words('health', 'health', HEALTH),
      ...filters.list('ancestor', 'ancestors'),
      ...filters.single('before', 'before'),
      ...filters.single('since', 'since'),
      ...filters.list('volume', 'volumes'),
      ...filters.list('network', 'networks'),
      ...filters.list('publish', 'published'),
      ...filters.list('expose', 'exposed'),
    })
    await printListing(invocation, containerListing({ now, whole }, size), containers, { format, quiet, setting: 'psFormat' })
    return 0
  },
})
