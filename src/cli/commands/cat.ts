import { isStrataError } from '../../base/index.ts'
import { parseImagePath } from '../../oci/index.ts'
import { writeChunk } from '../byteOutput.ts'
import { defineCommand, type Command } from '../command.ts'
import { lookOptions, lookValues } from '../lookOptions.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS] IMAGE:PATH [IMAGE:PATH...]',
  options: lookOptions(),
  operands: [1, Infinity],
  async run(invocation, values, texts) {
    const places = texts.map(parseImagePath)
    const engine = await invocation.engine()
    const options = { ...lookValues(values), signal: invocation.interruption() }
    let status = 0
    for (const { reference, path } of places) {
      try {
        for await (const chunk of await engine.readFile(reference, path, options)) await writeChunk(invocation.surroundings.stdout, chunk)
      } catch (error) {
        if (isStrataError(error, 'cancelled')) throw error
        invocation.report(error)
        status = 1
      }
    }
    return status
  },
})
