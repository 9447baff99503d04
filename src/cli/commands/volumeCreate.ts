import type { VolumeOptions } from '../../engine/index.ts'
import { defineCommand, type Command } from '../command.ts'
import { present } from '../containerFlags/flagValues.ts'
import { readKeyValues } from '../containerFlags/keyValues.ts'
import { list, text } from '../options.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS] [VOLUME]',
  options: {
    driver: text('Driver', { short: 'd', shownDefault: '"local"' }),
    label: list('Label (key=value)'),
    name: text('Name of the volume', { hidden: true }),
    opt: list('Option of the driver', { short: 'o', value: 'map' }),
  },
  operands: [0, 1],
  async run(invocation, { driver, label, name, opt }, [operand]) {
    const engine = await invocation.engine()
    const volume = await engine.createVolume(
      present<VolumeOptions>({
        name: operand ?? name,
        driver,
        driverOptions: opt.length === 0 ? undefined : await readKeyValues('--opt', [], opt),
        labels: label.length === 0 ? undefined : await readKeyValues('--label', [], label),
      }),
    )
    invocation.printLine(volume.Name)
    return 0
  },
})
