import { defineCommand, type Command } from '../command.ts'
import { flag, list, text } from '../options.ts'
import { withProgress } from '../progress/progress.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS] CONTAINER [REPOSITORY[:TAG]]',
  options: {
    author: text('Who made the image (name and address)', { short: 'a' }),
    change: list("Dockerfile instruction for the image's config, such as CMD or ENV", { short: 'c' }),
    message: text('What changed', { short: 'm' }),
    pause: flag('Let the container stand still meanwhile', { short: 'p', initial: true }),
    quiet: flag('Show no progress', { short: 'q' }),
  },
  operands: [1, 2],
  async run(invocation, { author, change, message, pause, quiet }, [container = '', reference]) {
    const engine = await invocation.engine()
    const { imageId } = await withProgress(invocation.surroundings.stderr, quiet, onProgress =>
      engine.commit(container, {
        signal: invocation.interruption(),
        onProgress,
        pause,
        changes: change,
        ...(reference === undefined ? {} : { reference }),
        ...(author === undefined ? {} : { author }),
        ...(message === undefined ? {} : { message }),
      }),
    )
    invocation.printLine(imageId)
    return 0
  },
})
