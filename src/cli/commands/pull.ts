import { familiarName, formatReference, parseReference } from '../../oci/index.ts'
import { defineCommand, type Command } from '../command.ts'
import { flag, list, rate } from '../options.ts'
import { withProgress } from '../progress/progress.ts'
import { UsageError } from '../usageError.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS] NAME[:TAG|@DIGEST]',
  options: {
    'all-tags': flag('Every tag of the repository', { short: 'a' }),
    'disable-content-trust': flag('Accepted for compatibility', { hidden: true }),
    'all-platforms': flag('Every platform of the image'),
    'limit-rate': rate('The most bytes per second, over all connections (500k, 2M, 1G)'),
    platform: list('Platform of the image (os[/arch[/variant]]); several keep their index', { value: 'string' }),
    quiet: flag('Print the name alone', { short: 'q' }),
  },
  operands: [1, 1],
  async run(invocation, { 'all-platforms': allPlatforms, 'all-tags': allTags, 'limit-rate': limitRate, platform, quiet }, [name = '']) {
    if (allPlatforms && platform.length > 0) throw new UsageError('--all-platforms and --platform exclude each other', 'flag')
    const engine = await invocation.engine()
    const images = await withProgress(invocation.surroundings.stdout, quiet, onProgress =>
      engine.pull(name, {
        allTags,
        signal: invocation.interruption(),
        onProgress,
        ...(limitRate === undefined ? {} : { limitRate }),
        platforms: allPlatforms ? 'all' : platform,
      }),
    )
    // docker tells of all tags of a repository in one line.
    const asked = allTags ? parseReference(name) : undefined
    const [last] = images.slice(-1)
    if (last === undefined) return 0
    const newer = images.some(image => image.newer)
    if (!quiet)
      invocation.printLine(
        `Status: ${newer ? 'Downloaded newer image for' : 'Image is up to date for'} ${asked === undefined ? last.name : familiarName(asked)}`,
      )
    invocation.printLine(asked === undefined ? last.reference : formatReference(asked))
    return 0
  },
})
