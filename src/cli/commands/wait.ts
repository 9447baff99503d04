import { defineCommand, type Command } from '../command.ts'

export const command: Command = defineCommand({
  usage: 'CONTAINER [CONTAINER...]',
  options: {},
  operands: [1, Infinity],
  async run(invocation, _, containers) {
    const engine = await invocation.engine()
    const signal = invocation.interruption()
    return invocation.forEach(containers, async container => {
      invocation.printLine(String(await engine.wait(container, { signal })))
    })
  },
})
