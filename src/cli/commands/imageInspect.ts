import { defineCommand, type Command } from '../command.ts'
import { inspectFormatOption, inspectObjects } from '../inspectObjects.ts'
import { text } from '../options.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS] IMAGE [IMAGE...]',
  options: {
    format: inspectFormatOption(),
    platform: text('Platform of the image (os[/arch[/variant]])'),
  },
  operands: [1, Infinity],
  async run(invocation, { format, platform }, images) {
    const engine = await invocation.engine()
    const find = (name: string): Promise<unknown> => engine.inspectImage(name, platform === undefined ? {} : { platform })
    return inspectObjects(invocation, images, find, { format, kind: 'image' })
  },
})
