import { defineCommand, type Command } from '../command.ts'
import { historyListing } from '../imageListing.ts'
import { formatOption, printListing, quietOption } from '../listing.ts'
import { flag, text } from '../options.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS] IMAGE',
  options: {
    format: formatOption(),
    human: flag('Sizes and times for people rather than programs', { short: 'H', initial: true }),
    'no-trunc': flag('Shorten nothing'),
    platform: text('Platform of the image (os[/arch[/variant]])'),
    quiet: quietOption('IDs alone'),
  },
  operands: [1, 1],
  async run(invocation, { format, human, 'no-trunc': whole, platform, quiet }, [image = '']) {
    const engine = await invocation.engine()
    const entries = await engine.history(image, platform === undefined ? {} : { platform })
    await printListing(invocation, historyListing({ now: invocation.surroundings.now(), whole }, human), entries, { format, quiet })
    return 0
  },
})
