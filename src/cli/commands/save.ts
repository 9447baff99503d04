import { writeArchiveTo } from '../byteOutput.ts'
import { defineCommand, type Command } from '../command.ts'
import { oneOf, text } from '../options.ts'

const FORMATS = ['docker', 'oci'] as const

export const command: Command = defineCommand({
  usage: '[OPTIONS] IMAGE [IMAGE...]',
  options: {
    format: oneOf(FORMATS, 'Form of the archive ("docker", "oci")', { shownDefault: '"docker"' }),
    output: text('File to write; default stdout', { short: 'o' }),
    platform: text('Only this platform (os[/arch[/variant]])'),
  },
  operands: [1, Infinity],
  async run(invocation, { format, output, platform }, images) {
    const engine = await invocation.engine()
    const signal = invocation.interruption()
    await writeArchiveTo(invocation, output, () =>
      engine.save(images, { signal, ...(format === undefined ? {} : { format }), ...(platform === undefined ? {} : { platform }) }),
    )
    return 0
  },
})
