import { isStrataError } from '../../base/index.ts'
import { defineCommand, type Command } from '../command.ts'
import { flag } from '../options.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS] IMAGE [IMAGE...]',
  options: {
    force: flag('Remove it also with several names or a stopped container', { short: 'f' }),
    'no-prune': flag('Keep parents without a name'),
  },
  operands: [1, Infinity],
  async run(invocation, { force, 'no-prune': keepParents }, images) {
    const engine = await invocation.engine()
    return invocation.forEach(images, async image => {
      try {
        for (const gone of await engine.removeImage(image, { force, keepParents })) {
          invocation.printLine(gone.kind === 'untagged' ? `Untagged: ${gone.name}` : `Deleted: ${gone.id}`)
        }
      } catch (error) {
        if (!force || !isStrataError(error, 'notFound')) throw error
        invocation.report(error)
      }
    })
  },
})
