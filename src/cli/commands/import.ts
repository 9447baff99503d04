import { arriving, lent } from '../../base/index.ts'
import { defineCommand, type Command } from '../command.ts'
import { flag, list, text } from '../options.ts'
import { withProgress } from '../progress/progress.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS] file|URL|- [REPOSITORY[:TAG]]',
  options: {
    change: list("Dockerfile instruction for the image's config, such as CMD or ENV", { short: 'c' }),
    message: text('What it is', { short: 'm' }),
    platform: text('Platform of the image (os[/arch[/variant]])'),
    quiet: flag('Show no progress', { short: 'q' }),
  },
  operands: [1, 2],
  async run(invocation, { change, message, platform, quiet }, [source = '', reference]) {
    const engine = await invocation.engine()
    const { imageId } = await withProgress(invocation.surroundings.stderr, quiet, onProgress =>
      engine.import(source === '-' ? lent(arriving(invocation.surroundings.stdin)) : source, {
        signal: invocation.interruption(),
        onProgress,
        changes: change,
        ...(reference === undefined ? {} : { reference }),
        ...(message === undefined ? {} : { message }),
        ...(platform === undefined ? {} : { platform }),
      }),
    )
    invocation.printLine(imageId)
    return 0
  },
})
