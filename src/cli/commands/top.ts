import { defineCommand, type Command } from '../command.ts'
import { layoutTable } from '../tables.ts'

export const command: Command = defineCommand({
  usage: 'CONTAINER [ps OPTIONS]',
  options: {},
  operands: [1, Infinity],
  stopsAtOperand: true,
  async run(invocation, _, [container = '', ...psArguments]) {
    const engine = await invocation.engine()
    const { titles, processes } = await engine.top(container, psArguments.length === 0 ? undefined : psArguments)
    invocation.print(
      layoutTable(
        [titles, ...processes].map(cells => cells.join('\t')),
        { minimum: 20 },
      ),
    )
    return 0
  },
})
