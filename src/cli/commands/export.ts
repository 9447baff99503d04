import { writeArchiveTo } from '../byteOutput.ts'
import { defineCommand, type Command } from '../command.ts'
import { text } from '../options.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS] CONTAINER',
  options: { output: text('File to write; default stdout', { short: 'o' }) },
  operands: [1, 1],
  async run(invocation, { output }, [container = '']) {
    const engine = await invocation.engine()
    const signal = invocation.interruption()
    await writeArchiveTo(invocation, output, () => engine.export(container, { signal }))
    return 0
  },
})
