import { defineCommand, type Command } from '../command.ts'
import { Filters } from '../filters.ts'
import { flag, list } from '../options.ts'
import { confirm } from '../prompt.ts'
import { humanSize } from '../sizes.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS]',
  options: {
    all: flag('Every image without a container, and what a cache has fetched', { short: 'a' }),
    filter: list('Only those that match, such as "label=KEY=VALUE"', { value: 'filter' }),
    force: flag('Do not ask', { short: 'f' }),
    volumes: flag('Anonymous volumes, too'),
  },
  operands: [0, 0],
  async run(invocation, { all, filter, force, volumes }) {
    const filters = new Filters(filter, ['until', 'label', 'label!'], invocation.surroundings.now())
    // Steps have no labels.
    const buildCacheGoes =
      filters.list('label', 'labels').labels === undefined && filters.list('label!', 'labelsAbsent').labelsAbsent === undefined
    const warning = [
      'This will remove:',
      '  - all stopped containers',
      ...(volumes ? ['  - all anonymous volumes not used by at least one container'] : []),
      all ? '  - all images without at least one container associated to them' : '  - all dangling images',
      ...(all ? ['  - what `strata serve --upstream` has fetched as a cache'] : []),
      ...(buildCacheGoes ? ['  - what builds have kept for later ones'] : []),
      '',
    ].join('\n')
    if (!force && !(await confirm(invocation, warning))) return 0
    const engine = await invocation.engine()
    const signal = invocation.interruption()
    const labels = { ...filters.list('label', 'labels'), ...filters.list('label!', 'labelsAbsent') }
    const until = filters.time('until', 'until')
    let reclaimedBytes = 0
    const show = (title: string, report: { readonly removed: readonly string[]; readonly reclaimedBytes: number }): void => {
      reclaimedBytes += report.reclaimedBytes
      if (report.removed.length > 0) invocation.print(`${title}:\n${report.removed.join('\n')}\n\n`)
    }
    // Containers first: they hold volumes and images.
    show('Deleted Containers', await engine.pruneContainers({ ...until, ...labels }))
    if (volumes) show('Deleted Volumes', await engine.pruneVolumes(labels))
    const images = await engine.pruneImages({ all, signal, ...until, ...labels })
    const gone = images.removed.map(image => (image.kind === 'untagged' ? `untagged: ${image.name}` : `deleted: ${image.id}`))
    show('Deleted Images', { removed: gone, reclaimedBytes: images.reclaimedBytes })
    if (buildCacheGoes) show('Deleted build cache objects', await engine.pruneBuildCache(until))
    invocation.printLine(`Total reclaimed space: ${humanSize(reclaimedBytes, 4)}`)
    return 0
  },
})
