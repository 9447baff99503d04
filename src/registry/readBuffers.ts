import type { Agent } from 'node:http'
import type { OnReadOpts, Socket } from 'node:net'

/** One read of a socket brings so much at most: 256 KiB. */
const READ_BYTES = 256 * 1024

/**
 * Makes all connections of an agent read into one buffer each, again and again. By itself Node takes 64 KiB of new
 * memory for each read, which only the garbage collector gives back; what HTTP hands on of a body is a copy.
 */
export function withReadBuffers<Pool extends Agent>(agent: Pool): Pool {
  const connect = agent.createConnection.bind(agent)
  agent.createConnection = (options, callback) => {
    const onread: OnReadOpts = {
      buffer: Buffer.allocUnsafeSlow(READ_BYTES),
      callback(bytes, buffer) {
        socket?.emit('data', buffer.subarray(0, bytes))
        return true
      },
    }
    const socket = connect(Object.assign(options, { onread }), callback) as Socket | null | undefined
    return socket
  }
  return agent
}
