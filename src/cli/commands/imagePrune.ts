import { defineCommand, type Command } from '../command.ts'
import { Filters } from '../filters.ts'
import { flag, list } from '../options.ts'
import { confirm } from '../prompt.ts'
import { humanSize } from '../sizes.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS]',
  options: {
    all: flag('Every image without a container, and what a cache has fetched', { short: 'a' }),
    filter: list('Only those that match, such as "until=24h"', { value: 'filter' }),
    force: flag('Do not ask', { short: 'f' }),
  },
  operands: [0, 0],
  async run(invocation, { all, filter, force }) {
    const filters = new Filters(filter, ['until', 'label', 'label!', 'dangling'], invocation.surroundings.now())
    const everything = all || filters.truth('dangling', 'dangling').dangling === false
    const what = everything
      ? 'all images without at least one container associated to them, and what `strata serve --upstream` has fetched'
      : 'all dangling images'
    if (!force && !(await confirm(invocation, `This will remove ${what}.`))) return 0
    const engine = await invocation.engine()
    const { removed, reclaimedBytes } = await engine.pruneImages({
      all: everything,
      signal: invocation.interruption(),
      ...filters.time('until', 'until'),
      ...filters.list('label', 'labels'),
      ...filters.list('label!', 'labelsAbsent'),
    })
    if (removed.length > 0) {
      invocation.printLine('Deleted Images:')
      for (const gone of removed) invocation.printLine(gone.kind === 'untagged' ? `untagged: ${gone.name}` : `deleted: ${gone.id}`)
      invocation.printLine('')
    }
    invocation.printLine(`Total reclaimed space: ${humanSize(reclaimedBytes, 4)}`)
    return 0
  },
})
