import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'

/** A server for what a real registry does not do: lie, break, redirect. */
export async function lyingServer(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<{ readonly address: string } & AsyncDisposable> {
  const server: Server = createServer((request, response) => {
    if (request.url === '/v2/') response.end('{}')
    else answer(request, response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  return {
    address: `127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
