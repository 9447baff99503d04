import { defineCommand, type Command } from '../command.ts'
import { Filters } from '../filters.ts'
import { flag, list } from '../options.ts'
import { confirm } from '../prompt.ts'
import { humanSize } from '../sizes.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS]',
  options: {
    all: flag('Named ones, too', { short: 'a' }),
    filter: list('Only those that match, such as "label=KEY"', { value: 'filter' }),
    force: flag('Do not ask', { short: 'f' }),
  },
  operands: [0, 0],
  async run(invocation, { all, filter, force }) {
    const filters = new Filters(filter, ['label', 'label!', 'all'], invocation.surroundings.now())
    const everything = all || filters.truth('all', 'all').all === true
    const what = everything
      ? 'all volumes not used by at least one container'
      : 'anonymous local volumes not used by at least one container'
    if (!force && !(await confirm(invocation, `This will remove ${what}.`))) return 0
    const engine = await invocation.engine()
    const { removed, reclaimedBytes } = await engine.pruneVolumes({
      all: everything,
      ...filters.list('label', 'labels'),
      ...filters.list('label!', 'labelsAbsent'),
    })
    if (removed.length > 0) invocation.print(`Deleted Volumes:\n${removed.join('\n')}\n\n`)
    invocation.printLine(`Total reclaimed space: ${humanSize(reclaimedBytes, 4)}`)
    return 0
  },
})
