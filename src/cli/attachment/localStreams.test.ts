import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { describe, test } from 'node:test'
import type { TerminalSize } from '../../engine/index.ts'
import type { Surroundings } from '../surroundings.ts'
import { localStreams } from './localStreams.ts'
import { SignalRelay } from './signalRelay.ts'

interface Terminal {
  readonly surroundings: Surroundings
  readonly raw: boolean[]
  readonly signals: Map<string, () => void>
  readonly resize: (columns: number, rows: number) => void
  readonly type: (text: string) => void
}

/** A terminal of 80 × 24, as Node shows one. */
function terminal(): Terminal {
  const raw: boolean[] = []
  const signals = new Map<string, () => void>()
  const stdin = Object.assign(new PassThrough(), { isTTY: true })
  const stdout = Object.assign(new PassThrough(), { isTTY: true, columns: 80, rows: 24 })
  const surroundings = {
    stdin,
    stdout,
    stderr: stdout,
    setRawTerminal: (mode: boolean) => void raw.push(mode),
    onSignal: (name: string, listener: () => void) => {
      signals.set(name, listener)
      return () => signals.delete(name)
    },
  } as unknown as Surroundings
  return {
    surroundings,
    raw,
    signals,
    resize(columns, rows) {
      Object.assign(stdout, { columns, rows })
      stdout.emit('resize')
    },
    type: text => void stdin.write(text),
  }
}

const ALL = ['stdin', 'stdout', 'stderr'] as const

describe('localStreams()', () => {
  test('is raw from the first read of stdin until restore()', async () => {
    const { surroundings, raw, type } = terminal()
    const { streams, restore } = localStreams(surroundings, { names: ALL, tty: true, detachKeys: undefined })
    assert.deepEqual(raw, [])
    type('ls\r')
    const input = streams.stdin![Symbol.asyncIterator]()
    assert.equal(Buffer.from((await input.next()).value as Uint8Array).toString(), 'ls\r')
    assert.deepEqual(raw, [true])
    restore()
    restore()
    assert.deepEqual(raw, [true, false])
  })
  test('leaves the terminal as it is without a tty in the container', async () => {
    const { surroundings, raw, type } = terminal()
    const { streams, restore } = localStreams(surroundings, { names: ALL, tty: false, detachKeys: undefined })
    type('x')
    await streams.stdin![Symbol.asyncIterator]().next()
    restore()
    assert.deepEqual(raw, [])
    assert.equal(streams.resizes, undefined)
  })
  test('tells the size at once and the newest after each change, until restore()', async () => {
    const { surroundings, resize } = terminal()
    const { streams, restore } = localStreams(surroundings, { names: ALL, tty: true, detachKeys: undefined })
    const seen: TerminalSize[] = []
    const following = (async () => {
      for await (const size of streams.resizes!) seen.push(size)
    })()
    const settle = (): Promise<void> => new Promise(done => setImmediate(done))
    await settle()
    resize(100, 30)
    await settle()
    resize(101, 30)
    resize(120, 40)
    await settle()
    restore()
    await following
    assert.deepEqual(seen, [
      { columns: 80, rows: 24 },
      { columns: 100, rows: 30 },
      { columns: 120, rows: 40 },
    ])
    assert.equal((surroundings.stdout as PassThrough).listenerCount('resize'), 0)
  })
  test('offers only the streams that were asked for', () => {
    const { streams } = localStreams(terminal().surroundings, { names: ['stderr'], tty: false, detachKeys: 'ctrl-x' })
    assert.deepEqual(Object.keys(streams).sort(), ['detachKeys', 'stderr'])
  })
})

describe('SignalRelay', () => {
  test('aborts before there is somebody to forward to, and forwards afterwards', async () => {
    const early = terminal()
    const first = new SignalRelay(early.surroundings)
    early.signals.get('SIGUSR1')!()
    assert.equal(first.signal.aborted, false)
    early.signals.get('SIGTERM')!()
    assert.equal(first.signal.aborted, true)

    const { surroundings, signals } = terminal()
    const relay = new SignalRelay(surroundings)
    const sent: string[] = []
    relay.forwardTo(async signal => void sent.push(signal))
    signals.get('SIGTERM')!()
    signals.get('SIGUSR1')!()
    assert.deepEqual([sent, relay.signal.aborted], [['TERM', 'USR1'], false])
    relay.stop()
    assert.equal(signals.size, 0)
  })
  test('does not mind when the process has ended meanwhile', async () => {
    const { surroundings, signals } = terminal()
    const relay = new SignalRelay(surroundings)
    relay.forwardTo(async () => {
      throw new Error('it has ended')
    })
    signals.get('SIGINT')!()
    await new Promise(done => setImmediate(done))
    relay.stop()
  })
})
