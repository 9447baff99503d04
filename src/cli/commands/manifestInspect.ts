import { StrataError } from '../../base/index.ts'
import type { Engine, RemoteDocument } from '../../engine/index.ts'
import { defineCommand, type Command } from '../command.ts'
import type { Invocation } from '../invocation.ts'
import { flag } from '../options.ts'

export const command: Command = defineCommand({
  usage: '[OPTIONS] MANIFEST',
  options: {
    verbose: flag('Every image of an index, with its platform and its bytes', { short: 'v' }),
  },
  operands: [1, 1],
  async run(invocation, { verbose }, [name = '']) {
    const engine = await invocation.engine()
    if (verbose) await printVerbosely(invocation, engine, name)
    else invocation.printLine(formatDocument(await engine.remoteManifest(name, { signal: invocation.interruption() })))
    return 0
  },
})

/** docker indents indexes by three spaces and manifests by tabs. */
function formatDocument(document: RemoteDocument): string {
  const value = parse(document)
  return 'manifests' in value
    ? JSON.stringify({ ...value, manifests: listed(value['manifests']) }, undefined, 3)
    : JSON.stringify(value, undefined, '\t')
}

/** docker's order of an entry's fields; what docker leaves out comes after them. */
function listed(entries: unknown): unknown {
  if (!Array.isArray(entries)) return entries
  return entries.map((entry: unknown) => {
    if (typeof entry !== 'object' || entry === null) return entry
    const { mediaType, size, digest, platform, ...rest } = entry as Readonly<Record<string, unknown>>
    return { mediaType, size, digest, platform: orderedPlatform(platform), ...rest }
  })
}

/** Several documents are an array, printed as they come: an index may have thousands. */
async function printVerbosely(invocation: Invocation, engine: Engine, name: string): Promise<void> {
  let isArray = true
  let count = 0
  for await (const document of engine.remoteManifests(name, { signal: invocation.interruption() })) {
    isArray = document.isEntry
    const text = JSON.stringify(described(document), undefined, '\t')
    invocation.print(isArray ? `${count === 0 ? '[' : ','}\n${text.replaceAll(/^/gm, '\t')}` : `${text}\n`)
    count += 1
  }
  if (isArray) invocation.print(count === 0 ? '[]\n' : '\n]\n')
}

/** The fields of docker's `manifest inspect --verbose`. */
function described(document: RemoteDocument): object {
  const { reference, descriptor, bytes } = document
  const { mediaType, digest, size, platform, ...rest } = descriptor
  const isDocker = mediaType.startsWith('application/vnd.docker.')
  return {
    Ref: reference,
    Descriptor: { mediaType, digest, size, ...rest, platform: orderedPlatform(platform) },
    Raw: Buffer.from(bytes).toString('base64'),
    [isDocker ? 'SchemaV2Manifest' : 'OCIManifest']: parse(document),
  }
}

/** In docker's order; a platform that nobody knows is an empty one to docker. */
function orderedPlatform(platform: unknown): object {
  const known = (typeof platform === 'object' ? platform : undefined) ?? {}
  const {
    architecture = '',
    os = '',
    'os.version': version,
    'os.features': features,
    variant,
    ...rest
  } = known as Readonly<Record<string, unknown>>
  return { architecture, os, 'os.version': version, 'os.features': features, variant, ...rest }
}

function parse({ reference, bytes }: RemoteDocument): object {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString())
    if (typeof value === 'object' && value !== null) return value
  } catch {
    // Said below: what is no JSON is no manifest either.
  }
  throw new StrataError('invalidArgument', 'STRATA_MANIFEST_INVALID', `Cannot show the manifest of "${reference}": it is not JSON`)
}
