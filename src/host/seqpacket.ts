import { setTimeout as sleep } from 'node:timers/promises'
import { close, CURRENT_DIRECTORY, O_PATH, openAt } from './descriptors.ts'
import { callError, lastErrno, lastError, libc } from './libc.ts'

const AF_UNIX = 1
/** SOCK_SEQPACKET, SOCK_CLOEXEC and SOCK_NONBLOCK; socket(2). */
const TYPE = 5 | 0o2000000 | 0o4000
const SHUT_WR = 1
const MSG_NOSIGNAL = 0x4000

/** The longest message that is read whole; conmon sends at most 8 KiB and its first byte. */
const MESSAGE_BYTES = 64 * 1024

/** Milliseconds between two looks: right after traffic, and at most. */
const BUSY_WAIT = 1
const IDLE_WAIT = 20
/** Slow enough in growing that an answer to a key finds the short wait. */
const WAIT_GROWTH = 1.05

/**
 * A connected socket of messages (SOCK_SEQPACKET), such as conmon's attach socket.
 *
 * Node has no handle for this kind, and a read that waits would hold one of libuv's four threads.
 * So nothing ever waits in the kernel: the socket is looked at every millisecond while there is
 * traffic, and up to 20 ms apart when there is none (about 0.1 % of a core).
 */
export class SeqpacketSocket implements Disposable {
  #fd: number | undefined
  #wait = BUSY_WAIT
  readonly #closing = new AbortController()

  /** @param fd a connected, non-blocking socket, which this object now owns */
  constructor(fd: number) {
    this.#fd = fd
  }

  /** The messages as they come, one chunk each; ends when the peer has closed, or after `close`. Read it once. */
  async *messages(): AsyncGenerator<Buffer, void, undefined> {
    const buffer = Buffer.allocUnsafe(MESSAGE_BYTES)
    while (this.#fd !== undefined) {
      const count = libc().recv(this.#fd, buffer, buffer.length, 0)
      if (count > 0) {
        this.#wait = BUSY_WAIT
        yield Buffer.from(buffer.subarray(0, count))
        continue
      }
      if (count === 0) return
      const code = lastErrno()
      if (code === 'ECONNRESET') return
      if (code === 'EINTR') continue
      if (code !== 'EAGAIN') throw callError(code, 'recv')
      await this.#pause(this.#wait)
      this.#wait = Math.min(this.#wait * WAIT_GROWTH, IDLE_WAIT)
    }
  }

  /** Sends one message, as soon as the peer has room for it. Rejects with EPIPE when the peer is gone, EBADF after `close`. */
  async send(bytes: Uint8Array): Promise<void> {
    for (;;) {
      if (this.#fd === undefined) throw callError('EBADF', 'send')
      if (libc().send(this.#fd, bytes, bytes.byteLength, MSG_NOSIGNAL) >= 0) break
      const code = lastErrno()
      if (code !== 'EAGAIN' && code !== 'EINTR') throw callError(code, 'send')
      await this.#pause(BUSY_WAIT)
    }
    this.#wait = BUSY_WAIT
  }

  /** Tells the peer that nothing more will be sent; messages still come in. */
  finish(): void {
    if (this.#fd === undefined || libc().shutdown(this.#fd, SHUT_WR) === 0) return
    const code = lastErrno()
    if (code !== 'ENOTCONN') throw callError(code, 'shutdown')
  }

  /** Ends the connection and every wait on it; a second call does nothing. */
  close(): void {
    if (this.#fd === undefined) return
    const fd = this.#fd
    this.#fd = undefined
    this.#closing.abort()
    close(fd)
  }

  [Symbol.dispose](): void {
    this.close()
  }

  async #pause(milliseconds: number): Promise<void> {
    try {
      await sleep(milliseconds, undefined, { signal: this.#closing.signal })
    } catch (error) {
      if (!this.#closing.signal.aborted) throw error
    }
  }
}

/**
 * Connects to the message socket at `path`, of any length.
 *
 * @throws ENOENT, ECONNREFUSED where nobody listens, EPROTOTYPE where it is a socket of another kind
 */
export function connectSeqpacket(path: string): SeqpacketSocket {
  // An address has room for 107 bytes, so the socket's file is named by a descriptor.
  const file = openAt(CURRENT_DIRECTORY, path, O_PATH)
  try {
    const fd = libc().socket(AF_UNIX, TYPE, 0)
    if (fd < 0) throw lastError('socket')
    const address = encodeAddress(`/proc/self/fd/${file}`)
    if (libc().connect(fd, address, address.length) < 0) {
      const error = lastError('connect', path)
      close(fd)
      throw error
    }
    return new SeqpacketSocket(fd)
  } finally {
    close(file)
  }
}

/** struct sockaddr_un, unix(7). */
function encodeAddress(path: string): Buffer {
  const address = Buffer.alloc(2 + path.length + 1)
  address.writeUInt16LE(AF_UNIX, 0)
  address.write(path, 2, 'latin1')
  return address
}
