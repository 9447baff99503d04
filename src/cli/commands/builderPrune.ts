import { defineCommand, type Command } from '../command.ts'
import { Filters } from '../filters.ts'
import { flag, list } from '../options.ts'
import { confirm } from '../prompt.ts'
import { humanSize } from '../sizes.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS]',
  options: {
    all: flag('As docker has it: here all of the cache goes in any case', { short: 'a' }),
    filter: list('Only those that match, such as "until=24h"', { value: 'filter' }),
    force: flag('Do not ask', { short: 'f' }),
  },
  operands: [0, 0],
  async run(invocation, { filter, force }) {
    const filters = new Filters(filter, ['until'], invocation.surroundings.now())
    if (!force && !(await confirm(invocation, 'This will remove what builds have kept for later ones.'))) return 0
    const engine = await invocation.engine()
    const { removed, reclaimedBytes } = await engine.pruneBuildCache(filters.time('until', 'until'))
    for (const name of removed) invocation.printLine(name)
    invocation.printLine(`Total:\t${humanSize(reclaimedBytes, 4)}`)
    return 0
  },
})
