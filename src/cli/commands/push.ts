import { formatReference, parseReference, withDefaultTag } from '../../oci/index.ts'
import { defineCommand, type Command } from '../command.ts'
import { flag, list, oneOf, rate } from '../options.ts'
import { withProgress } from '../progress/progress.ts'

const COMPRESSIONS = ['gzip', 'zstd', 'none'] as const

export const command: Command = defineCommand({
  usage: '[OPTIONS] NAME[:TAG]',
  options: {
    'all-tags': flag('Every tag of the repository', { short: 'a' }),
    compression: oneOf(COMPRESSIONS, 'How layers are compressed that have no compressed form yet ("gzip", "zstd", "none")', {
      shownDefault: '"gzip"',
    }),
    'disable-content-trust': flag('Accepted for compatibility', { hidden: true }),
    'limit-rate': rate('The most bytes per second, over all connections (500k, 2M, 1G)'),
    platform: list('Only this platform (os[/arch[/variant]]), or these', { value: 'string' }),
    quiet: flag('Print the name alone', { short: 'q' }),
  },
  operands: [1, 1],
  async run(invocation, { 'all-tags': allTags, compression, 'limit-rate': limitRate, platform, quiet }, [name = '']) {
    const engine = await invocation.engine()
    const pushed = await withProgress(invocation.surroundings.stdout, quiet, onProgress =>
      engine.push(name, {
        allTags,
        signal: invocation.interruption(),
        onProgress,
        ...(limitRate === undefined ? {} : { limitRate }),
        ...(compression === undefined ? {} : { compression }),
        platforms: platform,
      }),
    )
    const asked = parseReference(name)
    if (quiet) invocation.printLine(formatReference(allTags ? asked : withDefaultTag(asked)))
    else
      for (const { tag, manifestDigest, manifestBytes } of pushed)
        invocation.printLine(`${tag}: digest: ${manifestDigest} size: ${manifestBytes}`)
    return 0
  },
})
