import { once } from 'node:events'
import { createServer, request as send } from 'node:http'

/** One answer of a registry, as it went through the proxy. */
export interface CountedRequest {
  readonly method: string
  /** `blobs` or `manifests`, and the digest or tag; '' for others. */
  readonly kind: string
  readonly name: string
  readonly range: string | undefined
  /** Bytes of the body that the client got. */
  bytes: number
}

export interface CountingProxy extends AsyncDisposable {
  /** `127.0.0.1:<port>`, as in a reference. */
  readonly address: string
  /** Since the last call, in their order. */
  take(): readonly CountedRequest[]
}

/**
 * Stands before a plain registry and counts what goes through.
 *
 * @param options.ignoresRanges answers a request for a part with the whole, as RFC 9110 §14.2 allows
 */
export async function countingProxy(registry: string, options: { readonly ignoresRanges?: boolean } = {}): Promise<CountingProxy> {
  let counted: CountedRequest[] = []
  const server = createServer((incoming, outgoing) => {
    const [, kind = '', name = ''] = /\/(blobs|manifests)\/([^/?]+)$/.exec(incoming.url ?? '') ?? []
    const entry: CountedRequest = { method: incoming.method!, kind, name, range: incoming.headers.range, bytes: 0 }
    if (kind !== '') counted.push(entry)
    const headers = { ...incoming.headers, host: registry }
    if (options.ignoresRanges === true) delete headers.range
    const forwarded = send(`http://${registry}${incoming.url}`, { method: incoming.method!, headers })
    forwarded.on('response', answer => {
      outgoing.writeHead(answer.statusCode!, answer.headers)
      answer.on('data', (chunk: Buffer) => (entry.bytes += chunk.length)).pipe(outgoing)
    })
    forwarded.on('error', () => outgoing.destroy())
    outgoing.on('close', () => forwarded.destroy())
    incoming.pipe(forwarded)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  return {
    address: `127.0.0.1:${port}`,
    take() {
      const taken = counted
      counted = []
      return taken
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
