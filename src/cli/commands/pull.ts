import { defineCommand, type Command } from '../command.ts'
import { flag, text } from '../options.ts'
import { withProgress } from '../progress/progress.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS] NAME[:TAG|@DIGEST]',
  options: {
    'all-tags': flag('Every tag of the repository', { short: 'a' }),
    'disable-content-trust': flag('Accepted for compatibility', { hidden: true }),
    platform: text('Platform of the image (os[/arch[/variant]])'),
    quiet: flag('Print the name alone', { short: 'q' }),
  },
  operands: [1, 1],
  async run(invocation, { 'all-tags': allTags, platform, quiet }, [name = '']) {
    const engine = await invocation.engine()
    const images = await withProgress(invocation.surroundings.stdout, quiet, onProgress =>
      engine.pull(name, {
        allTags,
        signal: invocation.interruption(),
        onProgress,
        ...(platform === undefined ? {} : { platform }),
      }),
    )
    for (const image of images) {
      if (!quiet) {
        invocation.printLine(`Digest: ${image.manifestDigest}`)
        invocation.printLine(`Status: ${image.newer ? 'Downloaded newer image for' : 'Image is up to date for'} ${image.name}`)
      }
      invocation.printLine(image.reference)
    }
    return 0
  },
})
