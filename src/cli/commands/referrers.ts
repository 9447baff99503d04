import type { ReferrerSummary } from '../../engine/index.ts'
import { defineCommand, type Command } from '../command.ts'
import { formatOption, type Listing, printListing, quietOption } from '../listing.ts'
import { flag } from '../options.ts'
import { humanSize } from '../sizes.ts'
import { shortId } from '../tables.ts'

function referrerListing(whole: boolean): Listing<ReferrerSummary> {
  const shown = (digest: string): string => (whole ? digest : shortId(digest))
  return {
    fields: {
      Digest: { header: 'DIGEST', text: ({ digest }) => shown(digest) },
      Subject: { header: 'SUBJECT', text: ({ subject }) => shown(subject) },
      ArtifactType: { header: 'ARTIFACT TYPE', text: ({ artifactType }) => artifactType },
      Size: { header: 'SIZE', text: ({ sizeBytes }) => humanSize(sizeBytes) },
      Tag: { header: 'TAG', text: ({ tag }) => tag ?? '' },
    },
    columns: ['Digest', 'Subject', 'ArtifactType', 'Size'],
    identity: 'Digest',
    labels: ({ annotations }) => annotations,
  }
}

export const command: Command = defineCommand({
  usage: '[OPTIONS] IMAGE',
  options: {
    format: formatOption(),
    'no-trunc': flag('Shorten nothing'),
    quiet: quietOption('Digests alone'),
    remote: flag('Ask the registry, and not what was pulled'),
  },
  operands: [1, 1],
  async run(invocation, { format, 'no-trunc': whole, quiet, remote }, [image = '']) {
    const engine = await invocation.engine()
    const referrers = await engine.referrers(image, { remote, signal: invocation.interruption() })
    await printListing(invocation, referrerListing(whole), referrers, { format, quiet })
    return 0
  },
})
