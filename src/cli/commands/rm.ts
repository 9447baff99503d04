import { isStrataError } from '../../base/index.ts'
import { defineCommand, type Command } from '../command.ts'
import { flag } from '../options.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  options: {
    force: flag('Kill it first if it runs; what is not there is no failure', { short: 'f' }),
    volumes: flag('Its anonymous volumes, too', { short: 'v' }),
  },
  operands: [1, Infinity],
  async run(invocation, { force, volumes }, containers) {
    const engine = await invocation.engine()
    return invocation.forEach(containers, async container => {
      try {
        await engine.removeContainer(container, { force, volumes })
        invocation.printLine(container)
      } catch (error) {
        // `rm -f` of what is not there says so, and is no failure.
        if (!force || !isStrataError(error, 'notFound')) throw error
        invocation.report(error)
      }
    })
  },
})
