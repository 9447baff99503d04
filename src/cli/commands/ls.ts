import { writeChunk } from '../byteOutput.ts'
import { defineCommand, type Command } from '../command.ts'
import { formatListing } from '../fileListing.ts'
import { lookOptions, lookValues } from '../lookOptions.ts'
import { flag } from '../options.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS] IMAGE [PATH]',
  options: {
    ...lookOptions(),
    long: flag('With mode, links, owner, size and time of change (UTC)', { short: 'l' }),
    recursive: flag('Directories below, too', { short: 'R' }),
  },
  operands: [1, 2],
  async run(invocation, { long, recursive, ...values }, [image = '', path = '/']) {
    const engine = await invocation.engine()
    const { stdout } = invocation.surroundings
    // As ls does: a symlink is itself with -l, unless a slash follows it.
    const showsLink = long && !path.endsWith('/')
    const options = { ...lookValues(values), recursive, showsLink, signal: invocation.interruption() }
    let isFirst = true
    for await (const listing of engine.listDirectory(image, path, options)) {
      await writeChunk(stdout, formatListing(listing, { long, heading: recursive, isFirst, isTerminal: stdout.isTTY === true }))
      isFirst = false
    }
    return 0
  },
})
