import { writeArchiveTo } from '../byteOutput.ts'
import { defineCommand, type Command } from '../command.ts'
import { list, oneOf, single, text } from '../options.ts'

const FORMATS = ['docker-archive', 'oci-archive', 'docker', 'oci'] as const
const COMPRESSIONS = ['gzip', 'zstd', 'none'] as const

export const command: Command = defineCommand({
  usage: '[OPTIONS] IMAGE [IMAGE...]',
  options: {
    compression: oneOf(COMPRESSIONS, 'How layers are compressed that have no compressed form yet ("gzip", "zstd", "none")', {
      shownDefault: '"none"',
    }),
    format: oneOf(FORMATS, 'Form of the archive ("docker-archive", "oci-archive")', { shownDefault: '"docker-archive"' }),
    output: text('File to write; default stdout', { short: 'o' }),
    platform: list('Only this platform (os[/arch[/variant]]); several keep their index', { value: 'string' }),
    since: single('Leave out what this image has, for who has it; only `strata load` takes the archive', { value: 'image' }),
  },
  operands: [1, Infinity],
  async run(invocation, { compression, format, output, platform, since }, images) {
    const engine = await invocation.engine()
    const signal = invocation.interruption()
    await writeArchiveTo(invocation, output, () =>
      engine.save(images, {
        signal,
        onProgress: ({ status }) => invocation.warn(status),
        platforms: platform,
        ...(compression === undefined ? {} : { compression }),
        ...(format === undefined ? {} : { format }),
        ...(since === undefined ? {} : { since }),
      }),
    )
    return 0
  },
})
