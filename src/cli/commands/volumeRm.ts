import { defineCommand, type Command } from '../command.ts'
import { flag } from '../options.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS] VOLUME [VOLUME...]',
  options: { force: flag('What is not there is no failure', { short: 'f' }) },
  operands: [1, Infinity],
  async run(invocation, { force }, volumes) {
    const engine = await invocation.engine()
    return invocation.forEach(volumes, async volume => {
      await engine.removeVolume(volume, { force })
      invocation.printLine(volume)
    })
  },
})
