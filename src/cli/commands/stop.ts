import type { StopOptions } from '../../engine/index.ts'
import { defineCommand, type Command } from '../command.ts'
import { present } from '../containerFlags/flagValues.ts'
import { integer, text } from '../options.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  options: {
    signal: text('Signal to send', { short: 's' }),
    time: integer('Seconds until it is killed', { hidden: true }),
    timeout: integer('Seconds until it is killed', { short: 't' }),
  },
  operands: [1, Infinity],
  async run(invocation, { signal, time, timeout }, containers) {
    const engine = await invocation.engine()
    const options = present<StopOptions>({ signal, timeoutSeconds: timeout ?? time })
    return invocation.forEach(containers, async container => {
      await engine.stop(container, options)
      invocation.printLine(container)
    })
  },
})
