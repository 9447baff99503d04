import { arriving, lent, StrataError } from '../../base/index.ts'
import { defineCommand, type Command } from '../command.ts'
import { flag, text } from '../options.ts'
import { withProgress } from '../progress/progress.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS]',
  options: {
    input: text('Archive or directory to read; default stdin', { short: 'i' }),
    platform: text('Only this platform (os[/arch[/variant]])'),
    quiet: flag('Show no progress', { short: 'q' }),
  },
  operands: [0, 0],
  async run(invocation, { input, platform, quiet }) {
    const { stdin, stderr } = invocation.surroundings
    if (input === undefined && stdin.isTTY === true) {
      throw new StrataError('invalidArgument', 'STRATA_INPUT_IS_TERMINAL', 'Cannot load images: stdin is a terminal', {
        hint: 'Name an archive with -i FILE, or redirect one to stdin.',
      })
    }
    const engine = await invocation.engine()
    // On stderr, so that stdout has the names of the images and nothing else.
    const images = await withProgress(stderr, quiet, onProgress =>
      engine.load(input ?? lent(arriving(stdin)), {
        signal: invocation.interruption(),
        onProgress,
        ...(platform === undefined ? {} : { platform }),
      }),
    )
    for (const { imageId, name } of images)
      invocation.printLine(name === undefined ? `Loaded image ID: ${imageId}` : `Loaded image: ${name}`)
    return 0
  },
})
