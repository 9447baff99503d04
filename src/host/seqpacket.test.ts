import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { after, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { close, connectSeqpacket } from './index.ts'
import { SeqpacketSocket } from './seqpacket.ts'

/** The other end, with the calls that only a server needs. */
interface Server {
  socket(domain: number, type: number, protocol: number): number
  socketpair(domain: number, type: number, protocol: number, fds: Int32Array): number
  bind(fd: number, address: Buffer, length: number): number
  listen(fd: number, backlog: number): number
  accept(fd: number, address: null, length: null): number
  send(fd: number, bytes: Buffer, length: number, flags: number): number
  recv(fd: number, bytes: Buffer, length: number, flags: number): number
  shutdown(fd: number, how: number): number
}

const AF_UNIX = 1
const SEQPACKET = 5 | 0o2000000
const NONBLOCK = 0o4000
const MSG_DONTWAIT = 0x40

const library = (createRequire(import.meta.url)('koffi') as { load(path: null): { func(prototype: string): unknown } }).load(null)
const server = Object.fromEntries(
  [
    'int socket(int, int, int)',
    'int socketpair(int, int, int, void *)',
    'int bind(int, void *, uint32_t)',
    'int listen(int, int)',
    'int accept(int, void *, void *)',
    'int64_t send(int, void *, uint64_t, int)',
    'int64_t recv(int, void *, uint64_t, int)',
    'int shutdown(int, int)',
  ].map(prototype => [/(\w+)\(/.exec(prototype)![1], library.func(prototype)]),
) as unknown as Server

const scratch = mkdtempSync(join(tmpdir(), 'strata-host-seqpacket-'))
after(() => rmSync(scratch, { recursive: true }))

function pair(): { socket: SeqpacketSocket; peer: number } {
  const fds = new Int32Array(2)
  assert.equal(server.socketpair(AF_UNIX, SEQPACKET | NONBLOCK, 0, fds), 0)
  return { socket: new SeqpacketSocket(fds[0]!), peer: fds[1]! }
}

function listen(path: string): number {
  const fd = server.socket(AF_UNIX, SEQPACKET, 0)
  const address = Buffer.alloc(110)
  address.writeUInt16LE(AF_UNIX, 0)
  address.write(path, 2)
  assert.equal(server.bind(fd, address, address.length), 0)
  assert.equal(server.listen(fd, 5), 0)
  return fd
}

const say = (peer: number, bytes: Buffer): void => assert.equal(server.send(peer, bytes, bytes.length, 0), bytes.length)

function heard(peer: number): Buffer | undefined {
  const buffer = Buffer.alloc(100_000)
  const count = server.recv(peer, buffer, buffer.length, MSG_DONTWAIT)
  return count < 0 ? undefined : buffer.subarray(0, count)
}

async function collect(socket: SeqpacketSocket): Promise<Buffer[]> {
  const messages: Buffer[] = []
  for await (const message of socket.messages()) messages.push(message)
  return messages
}

describe('SeqpacketSocket', () => {
  test('messages() keeps the bounds of messages and ends with the peer', async () => {
    const { socket, peer } = pair()
    const sent = [Buffer.from('\x02out'), Buffer.from('\x03err'), Buffer.alloc(8193, 2), Buffer.from([2, 0, 255])]
    for (const message of sent) say(peer, message)
    close(peer)
    assert.deepEqual(await collect(socket), sent)
    socket.close()
    socket.close()
  })

  test('a quiet socket holds no thread of libuv and hardly any processor', async () => {
    const quiet = Array.from({ length: 12 }, pair)
    const reading = quiet.map(({ socket }) => collect(socket))
    const started = performance.now()
    // Four pending reads would have stopped these for good.
    for (let i = 0; i < 50; i += 1) await import('node:fs/promises').then(({ stat }) => stat(scratch))
    assert.ok(performance.now() - started < 20_000)
    const cpu = process.cpuUsage()
    await sleep(500)
    const { user, system } = process.cpuUsage(cpu)
    assert.ok(user + system < 400_000, `${user + system} µs of CPU for 12 idle sockets in 0.5 s`)
    for (const { socket, peer } of quiet) {
      socket.close()
      close(peer)
    }
    assert.deepEqual(
      await Promise.all(reading),
      quiet.map(() => []),
    )
  })

  test('an answer to what is sent comes at once, also after a long silence', async () => {
    const { socket, peer } = pair()
    const messages = socket.messages()
    const first = messages.next()
    await sleep(300)
    await socket.send(Buffer.from('key'))
    assert.equal(String(heard(peer)), 'key')
    const started = performance.now()
    say(peer, Buffer.from('\x02key'))
    const { value } = await first
    assert.equal(String(value), '\x02key')
    // Far below any timeout, far above a busy machine's delays.
    assert.ok(performance.now() - started < 20_000)
    socket.close()
    close(peer)
    assert.deepEqual(await messages.next(), { value: undefined, done: true })
  })

  test('send() waits for room instead of losing messages', async () => {
    const { socket, peer } = pair()
    const count = 2000
    let sent = 0
    const sending = (async () => {
      for (let i = 0; i < count; i += 1) {
        await socket.send(Buffer.alloc(4096, i % 256))
        sent += 1
      }
    })()
    await sleep(30)
    assert.ok(sent < count, 'the socket was full')
    for (let i = 0; i < count;) {
      const message = heard(peer)
      if (message === undefined) await sleep(1)
      else {
        assert.deepEqual([message.length, message[0], message.at(-1)], [4096, i % 256, i % 256])
        i += 1
      }
    }
    await sending
    socket.finish()
    assert.equal(heard(peer)?.length, 0)
    say(peer, Buffer.from('still open this way'))
    assert.equal(String((await socket.messages().next()).value), 'still open this way')
    close(peer)
    await assert.rejects(socket.send(Buffer.from('x')), { code: 'EPIPE' })
    socket.close()
    await assert.rejects(socket.send(Buffer.from('x')), { code: 'EBADF' })
  })
})

describe('connectSeqpacket()', () => {
  test('connects by a path of any length', async () => {
    const short = join(scratch, 's')
    const listener = listen(short)
    const far = join(scratch, 'a-long-directory-name/'.repeat(20))
    mkdirSync(far, { recursive: true })
    const { linkSync } = await import('node:fs')
    linkSync(short, join(far, 'attach'))
    for (const path of [short, join(far, 'attach')]) {
      using socket = connectSeqpacket(path)
      const peer = server.accept(listener, null, null)
      await socket.send(Buffer.from('hello'))
      assert.equal(String(heard(peer)), 'hello')
      close(peer)
    }
    close(listener)
    assert.throws(() => connectSeqpacket(short), { code: 'ECONNREFUSED', path: short })
  })

  test('says why it cannot connect', async () => {
    assert.throws(() => connectSeqpacket(join(scratch, 'missing')), { code: 'ENOENT' })
    writeFileSync(join(scratch, 'file'), '')
    assert.throws(() => connectSeqpacket(join(scratch, 'file')), { code: 'ECONNREFUSED' })
    const stream = createServer()
    await new Promise<void>(resolve => {
      stream.listen(join(scratch, 'stream'), resolve)
    })
    assert.throws(() => connectSeqpacket(join(scratch, 'stream')), { code: 'EPROTOTYPE' })
    stream.close()
  })
})
