import type { ArtifactSummary } from '../../engine/index.ts'
import { defineCommand, type Command } from '../command.ts'
import { formatOption, type Listing, printListing, quietOption } from '../listing.ts'
import { flag } from '../options.ts'
import { humanSize } from '../sizes.ts'
import { shortId } from '../tables.ts'

function artifactListing(whole: boolean): Listing<ArtifactSummary> {
  return {
    fields: {
      Name: { header: 'NAME', text: ({ name }) => name },
      Digest: { header: 'DIGEST', text: ({ digest }) => (whole ? digest : shortId(digest)) },
      ArtifactType: { header: 'ARTIFACT TYPE', text: ({ artifactType }) => artifactType },
      Size: { header: 'SIZE', text: ({ sizeBytes }) => humanSize(sizeBytes) },
    },
    columns: ['Name', 'Digest', 'ArtifactType', 'Size'],
    identity: 'Digest',
  }
}

export const command: Command = defineCommand({
  usage: '[OPTIONS]',
  options: {
    format: formatOption(),
    'no-trunc': flag('Shorten nothing'),
    quiet: quietOption('Digests alone'),
  },
  operands: [0, 0],
  async run(invocation, { format, 'no-trunc': whole, quiet }) {
    const engine = await invocation.engine()
    await printListing(invocation, artifactListing(whole), await engine.artifacts(), { format, quiet })
    return 0
  },
})
