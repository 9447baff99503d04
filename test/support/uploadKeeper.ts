import { createHash, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import http, { createServer, type IncomingMessage, type ServerResponse } from 'node:http'

/**
 * A registry that keeps what arrived of an upload that broke, as distribution-spec "Pushing a blob in chunks" has it, in front of a
 * real one (`127.0.0.1:5000`), which gets the blobs when they are whole. Debian's docker-registry itself cancels an upload that
 * is asked for after a break: its location holds the offset that it expects.
 */
export async function uploadKeeper(registry: string): Promise<{ readonly address: string } & AsyncDisposable> {
  const uploads = new Map<string, Buffer[]>()
  const server = createServer((request, response) => {
    request.on('error', () => undefined)
    answer(request, response).catch(() => response.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const address = `127.0.0.1:${port}`
  return {
    address,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', `http://${address}`)
    const [, repository = '', id = ''] = /^\/v2\/(.+)\/blobs\/uploads\/([^/]*)$/.exec(url.pathname) ?? []
    if (repository === '') return relay(request, response)
    if (request.method === 'POST') {
      request.resume()
      const begun = randomUUID()
      uploads.set(begun, [])
      response.writeHead(202, { location: `${url.pathname}${begun}`, range: '0-0' }).end()
      return
    }
    const chunks = uploads.get(id)
    if (chunks === undefined) {
      response.writeHead(404).end()
      return
    }
    const size = (): number => chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    const status = { location: url.pathname, range: `0-${Math.max(0, size() - 1)}` }
    if (request.method === 'GET') {
      response.writeHead(204, status).end()
      return
    }
    const from = /^(\d+)-\d+$/.exec(request.headers['content-range'] ?? '')?.[1]
    if (Number(from ?? 0) !== size() && request.method === 'PATCH') {
      response.writeHead(416, status).end()
      return
    }
    for await (const chunk of request) chunks.push(chunk as Buffer)
    if (request.method === 'PATCH') response.writeHead(202, { ...status, range: `0-${size() - 1}` }).end()
    else await store(repository, { digest: url.searchParams.get('digest') ?? '', bytes: Buffer.concat(chunks) }, response)
  }

  async function store(
    repository: string,
    { digest, bytes }: { readonly digest: string; readonly bytes: Buffer },
    response: ServerResponse,
  ): Promise<void> {
    if (digest !== `sha256:${createHash('sha256').update(bytes).digest('hex')}`) {
      response.writeHead(400, { 'content-type': 'application/json' }).end('{"errors":[{"code":"DIGEST_INVALID","message":"not so"}]}')
      return
    }
    const begun = await fetch(`http://${registry}/v2/${repository}/blobs/uploads/`, { method: 'POST' })
    const location = new URL(begun.headers.get('location')!, `http://${registry}`)
    location.searchParams.set('digest', digest)
    const headers = { 'content-type': 'application/octet-stream' }
    const { status } = await fetch(location, { method: 'PUT', headers, body: new Uint8Array(bytes) })
    response.writeHead(status).end()
  }

  async function relay(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [host, to] = registry.split(':')
    const behind = http.request({ host, port: to, method: request.method, path: request.url, headers: request.headers })
    request.pipe(behind)
    const [answer] = (await once(behind, 'response')) as [IncomingMessage]
    response.writeHead(answer.statusCode!, answer.headers)
    answer.pipe(response)
  }
}
