import { isStrataError, StrataError } from '../../base/index.ts'
import { defineCommand, type Command } from '../command.ts'
import type { Engine } from '../../engine/index.ts'
import { inspectFormatOption, inspectObjects, type ObjectKind } from '../inspectObjects.ts'
import { flag, oneOf } from '../options.ts'

/** In the order in which docker tries them. */
const KINDS = ['container', 'image', 'network', 'volume'] as const

export const command: Command = defineCommand({
  usage: '[OPTIONS] NAME|ID [NAME|ID...]',
  options: {
    format: inspectFormatOption(),
    size: flag('With the sizes of containers', { short: 's' }),
    type: oneOf(KINDS, 'Only objects of one type ("container", "image", "network", "volume")'),
  },
  operands: [1, Infinity],
  async run(invocation, { format, size, type }, names) {
    const engine = await invocation.engine()
    const kinds = type === undefined ? KINDS : [type]
    const kind: ObjectKind = type ?? 'object'
    return inspectObjects(invocation, names, name => findObject(engine, name, kinds, size), { format, kind })
  },
})

async function findObject(engine: Engine, name: string, kinds: readonly (typeof KINDS)[number][], size: boolean): Promise<unknown> {
  for (const kind of kinds) {
    try {
      switch (kind) {
        case 'container':
          return await engine.inspectContainer(name, { size })
        case 'image':
          return await engine.inspectImage(name)
        case 'network':
          return await engine.inspectNetwork(name)
        default:
          return await engine.inspectVolume(name)
      }
    } catch (error) {
      // What one kind of object takes for no name at all may be another one's name.
      if (!isStrataError(error, 'notFound') && !(kinds.length > 1 && isStrataError(error, 'invalidArgument'))) throw error
    }
  }
  throw new StrataError('notFound', 'STRATA_NO_SUCH_OBJECT', `Cannot inspect "${name}": no such object`)
}
