import { once } from 'node:events'
import { createServer, type IncomingMessage, request as send, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'

export interface ProxyServer extends AsyncDisposable {
  readonly address: string
  /** What it was asked for: `CONNECT registry.test:443`, `GET http://registry.test/v2/`, with the credentials in between where some came. */
  readonly asked: readonly string[]
}

export interface ProxyServerOptions {
  /** Of all answers in place of what was asked for. */
  readonly status?: number
  /** What it shows to those who are to reach it by TLS. */
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer }
}

/** An HTTP proxy that leads every name to one address of this machine. */
export async function proxyServer(target: string, { status, tls }: ProxyServerOptions = {}): Promise<ProxyServer> {
  const asked: string[] = []
  const [host, port] = target.split(':')
  const note = (method: string, url: string, authorization: string | undefined): void =>
    void asked.push([method, ...(authorization === undefined ? [] : [authorization]), url].join(' '))
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const { method = '', url = '', headers } = request
    note(method, url, headers['proxy-authorization'])
    const { pathname, search } = new URL(url)
    const onward = send({ host, port, method, path: pathname + search, headers }, answered => {
      response.writeHead(answered.statusCode!, answered.headers)
      answered.pipe(response)
    })
    onward.on('error', () => response.destroy())
    request.pipe(onward)
  }
  const server = tls === undefined ? createServer(answer) : createSecureServer(tls, answer)
  server.on('connect', (request: IncomingMessage, socket: Duplex) => {
    note('CONNECT', request.url!, request.headers['proxy-authorization'])
    if (status !== undefined) {
      socket.end(`HTTP/1.1 ${status} Refused\r\n\r\n`)
      return
    }
    const onward = connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 Connected\r\n\r\n')
      socket.pipe(onward).pipe(socket)
    })
    const end = (): void => [socket, onward].forEach(each => each.destroy())
    for (const each of [socket, onward]) each.on('error', end).on('close', end).on('end', end)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    address: `127.0.0.1:${(server.address() as { port: number }).port}`,
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
