import { defineCommand, type Command } from '../command.ts'
import { text } from '../options.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  options: { signal: text('Signal to send', { short: 's', shownDefault: '"KILL"' }) },
  operands: [1, Infinity],
  async run(invocation, { signal }, containers) {
    const engine = await invocation.engine()
    return invocation.forEach(containers, async container => {
      await engine.kill(container, signal)
      invocation.printLine(container)
    })
  },
})
