import { once } from 'node:events'
import { createServer, request as send } from 'node:http'
import { connect } from 'node:net'

export interface ProxyServer extends AsyncDisposable {
  readonly address: string
  /** What it was asked for: `CONNECT registry.test:443`, `GET http://registry.test/v2/`, with the credentials in between where some came. */
  readonly asked: readonly string[]
}

/** An HTTP proxy that leads every name to one address of this machine. @param status of all answers in place of what was asked for */
export async function proxyServer(target: string, { status }: { readonly status?: number } = {}): Promise<ProxyServer> {
  const asked: string[] = []
  const [host, port] = target.split(':')
  const note = (method: string, url: string, authorization: string | undefined): void =>
    void asked.push([method, ...(authorization === undefined ? [] : [authorization]), url].join(' '))
  const server = createServer((request, response) => {
    const { method = '', url = '', headers } = request
    note(method, url, headers['proxy-authorization'])
    const { pathname, search } = new URL(url)
    const onward = send({ host, port, method, path: pathname + search, headers }, answer => {
      response.writeHead(answer.statusCode!, answer.headers)
      answer.pipe(response)
    })
    onward.on('error', () => response.destroy())
    request.pipe(onward)
  })
  server.on('connect', (request, socket) => {
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
