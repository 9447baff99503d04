import { defineCommand, type Command } from '../command.ts'
import { inspectFormatOption, inspectObjects } from '../inspectObjects.ts'
import { flag, text } from '../options.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS] IMAGE [IMAGE...]',
  options: {
    format: inspectFormatOption(),
    platform: text('Platform of the image (os[/arch[/variant]])'),
    remote: flag('As the registry has it; no layer is fetched, and Size is that of the compressed layers'),
  },
  operands: [1, Infinity],
  async run(invocation, { format, platform, remote }, images) {
    const engine = await invocation.engine()
    const find = (name: string): Promise<unknown> =>
      engine.inspectImage(name, { remote, signal: invocation.interruption(), ...(platform === undefined ? {} : { platform }) })
    return inspectObjects(invocation, images, find, { format, kind: 'image' })
  },
})
