import { type ByteStream, type CallOptions, type ProgressListener } from '../base/index.ts'
import type { BlobSource } from '../content/index.ts'
import { type Descriptor, digestHex, isIndex, isManifest, MEDIA_TYPES } from '../oci/index.ts'
import type { GraphSink } from './copyGraph.ts'

/** What sinks report that cannot be seen from outside. */
const TOLD_BY_SINKS = /^(?:Mounted from |Skipped )/

/** Reports what goes into a sink, each blob once, in skopeo's words; of what the sink reports itself how a blob came there without being sent. */
export function reportedSink(sink: GraphSink, onProgress: ProgressListener | undefined): GraphSink {
  if (onProgress === undefined) return sink
  return { take: (target, source, options) => takeReported(sink, { target, source, options, onProgress }) }
}

function kindOf({ mediaType }: Descriptor): 'manifest' | 'config' | 'blob' {
  if (isManifest(mediaType) || isIndex(mediaType)) return 'manifest'
  return mediaType === MEDIA_TYPES.config || mediaType === MEDIA_TYPES.dockerConfig ? 'config' : 'blob'
}

interface Taking {
  readonly target: Descriptor
  readonly source: BlobSource
  readonly options: CallOptions
  readonly onProgress: ProgressListener
}

async function takeReported(sink: GraphSink, { target, source, options, onProgress }: Taking): Promise<Descriptor> {
  const report = (status: string, bytes: { readonly current?: number; readonly total?: number } = {}): void =>
    onProgress({ id: `Copying ${kindOf(target)} ${digestHex(target.digest).slice(0, 12)}`, status, ...bytes })
  let outcome: string | undefined = sink.readsLater === true ? undefined : 'already exists'
  let isDone = false
  const counted: BlobSource = {
    open: async (blob, opening) => {
      const bytes = await source.open(blob, opening)
      // What is read later than it was taken is told when it has been read.
      outcome = undefined
      return ended(
        bytes,
        current => {
          if (!isDone) report('copying', { current, total: target.size })
        },
        () => {
          // A document may be looked at and then copied.
          if (!isDone) report('done')
          isDone = true
        },
      )
    },
  }
  const { signal } = options
  const taken = await sink.take(target, counted, {
    ...(signal === undefined ? {} : { signal }),
    onProgress: ({ status }) => {
      if (TOLD_BY_SINKS.test(status)) outcome = status.toLowerCase()
    },
  })
  if (outcome !== undefined) report(outcome)
  return taken
}

async function* ended(bytes: ByteStream, onRead: (current: number) => void, onEnd: () => void): AsyncGenerator<Uint8Array> {
  let current = 0
  for await (const chunk of bytes) {
    onRead((current += chunk.length))
    yield chunk
  }
  onEnd()
}
