import { defineCommand, type Command } from '../command.ts'
import { Filters } from '../filters.ts'
import { flag, list } from '../options.ts'
import { confirm } from '../prompt.ts'
import { humanSize } from '../sizes.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS]',
  options: {
    filter: list('Only those that match, such as "until=24h"', { value: 'filter' }),
    force: flag('Do not ask', { short: 'f' }),
  },
  operands: [0, 0],
  async run(invocation, { filter, force }) {
    const filters = new Filters(filter, ['until', 'label', 'label!'], invocation.surroundings.now())
    if (!force && !(await confirm(invocation, 'This will remove all stopped containers.'))) return 0
    const engine = await invocation.engine()
    const { removed, reclaimedBytes } = await engine.pruneContainers({
      ...filters.time('until', 'until'),
      ...filters.list('label', 'labels'),
      ...filters.list('label!', 'labelsAbsent'),
    })
    if (removed.length > 0) invocation.print(`Deleted Containers:\n${removed.join('\n')}\n\n`)
    invocation.printLine(`Total reclaimed space: ${humanSize(reclaimedBytes, 4)}`)
    return 0
  },
})
