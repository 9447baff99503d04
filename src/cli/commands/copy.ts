import { defineCommand, type Command } from '../command.ts'
import { flag, list, rate } from '../options.ts'
import { withProgress } from '../progress/progress.ts'
import { UsageError } from '../usageError.ts'

/** Where the archive itself goes to stdout. */
const TO_STDOUT = /^(?:docker|oci)-archive:\/dev\/stdout(?::|$)/

export const command: Command = defineCommand({
  usage: '[OPTIONS] SOURCE DESTINATION',
  notes:
    'Each is one of docker://REF (a registry), docker-archive:PATH[:REF|:@INDEX], oci:DIR[:TAG|:@INDEX], oci-archive:PATH[:TAG|:@INDEX], dir:DIR and ' +
    'strata:REF (this store). Blobs go as they are, neither unpacked nor compressed, so that digests stay. A layout is added to, ' +
    'a directory is replaced by a newer image, and an archive must be a new or an empty file. Signatures and other ' +
    'referrers go along between registries and this store. Prints the digest of what was copied.',
  options: {
    all: flag('The whole index, with every platform', { short: 'a' }),
    'limit-rate': rate('The most bytes per second, over all connections (500k, 2M, 1G)'),
    platform: list('Platform of the image (os[/arch[/variant]]); several keep their index', { value: 'string' }),
    'preserve-digests': flag('Fail where the copy would have another digest'),
    quiet: flag('Show no progress', { short: 'q' }),
  },
  operands: [2, 2],
  async run(
    invocation,
    { all, 'limit-rate': limitRate, platform, 'preserve-digests': preserveDigests, quiet },
    [source = '', destination = ''],
  ) {
    if (all && platform.length > 0) throw new UsageError('--all and --platform exclude each other', 'flag')
    const engine = await invocation.engine()
    const { manifestDigest } = await withProgress(invocation.surroundings.stderr, quiet, onProgress =>
      engine.copy(source, destination, {
        platforms: all ? 'all' : platform,
        preserveDigests,
        ...(limitRate === undefined ? {} : { limitRate }),
        signal: invocation.interruption(),
        onProgress,
      }),
    )
    if (!TO_STDOUT.test(destination)) invocation.printLine(manifestDigest)
    return 0
  },
})
