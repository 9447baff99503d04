import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { StrataError } from '../base/index.ts'
import type { AttachedStreams, ContainerOptions, Engine } from '../engine/index.ts'
import { strata } from '../../test/cli/strataInTest.ts'

describe('run', () => {
  interface Asked {
    options: ContainerOptions
    streams: AttachedStreams | undefined
  }
  /** An engine whose containers print their stdin and end with `exitCode`. */
  function echoing(asked: Asked[], exitCode = 0): Partial<Engine> {
    return {
      async run(options, streams) {
        asked.push({ options, streams })
        const ended = (async () => {
          for await (const chunk of streams?.stdin ?? []) streams?.stdout?.write(chunk)
          streams?.stdout?.write('done\n')
          return { kind: 'exited', exitCode } as const
        })()
        return { id: 'c1', warnings: ['no swap limit'], ended }
      },
    }
  }

  test('attaches stdout and stderr, with -i stdin too, and ends as the container does', async () => {
    const asked: Asked[] = []
    const ran = await strata('run -i --rm busybox cat', echoing(asked, 3), { stdin: 'hello ' })
    assert.deepEqual([ran.status, ran.stdout, ran.stderr], [3, 'hello done\n', 'WARNING: no swap limit\n'])
    assert.deepEqual(asked[0]?.options, {
      image: 'busybox',
      command: ['cat'],
      openStdin: true,
      autoRemove: true,
      attach: ['stdin', 'stdout', 'stderr'],
    })
    assert.equal((await strata('run busybox', echoing(asked))).stdout, 'done\n')
    assert.equal(asked[1]?.streams?.stdin, undefined)
    assert.ok(asked[1]?.streams?.stderr)
  })
  test('prints the id with -d', async () => {
    const asked: Asked[] = []
    const ran = await strata('run -d busybox', echoing(asked))
    assert.deepEqual([ran.status, ran.stdout, asked[0]?.streams, asked[0]?.options.attach], [0, 'c1\n', undefined, []])
  })
  test('attaches what -a says', async () => {
    const asked: Asked[] = []
    await strata('run -a stderr busybox', echoing(asked))
    assert.deepEqual(Object.keys(asked[0]?.streams ?? {}), ['stderr'])
  })
  test('hands over -e from its environment, and --detach-keys', async () => {
    const asked: Asked[] = []
    await strata('run -e A --detach-keys ctrl-x busybox', echoing(asked), { env: { A: '1' } })
    assert.deepEqual([asked[0]?.options.env, asked[0]?.streams?.detachKeys], [['A=1'], 'ctrl-x'])
  })
  test('says when the user has detached', async () => {
    const run: Engine['run'] = async () => ({ id: 'c1', warnings: [], ended: Promise.resolve({ kind: 'detached' }) })
    const ran = await strata('run busybox', { run })
    assert.deepEqual([ran.status, ran.stderr], [0, 'read escape sequence\n'])
  })
  test('passes signals on to the running container', { timeout: 5000 }, async () => {
    const sent: string[] = []
    const ended = Promise.withResolvers<{ kind: 'exited'; exitCode: number }>()
    const methods: Partial<Engine> = {
      run: async () => ({ id: 'c1', warnings: [], ended: ended.promise }),
      kill: async (id, signal) => {
        sent.push(`${id} ${signal}`)
        if (signal === 'TERM') ended.resolve({ kind: 'exited', exitCode: 143 })
      },
    }
    const ran = await strata('run busybox', methods, { signals: ['SIGHUP', 'SIGTERM'] })
    assert.deepEqual([ran.status, sent], [143, ['c1 HUP', 'c1 TERM']])
  })
  test('lets the user go after three signals that change nothing', { timeout: 5000 }, async () => {
    const methods: Partial<Engine> = {
      run: async () => ({ id: 'c1', warnings: [], ended: new Promise(() => undefined) }),
      kill: async () => undefined,
    }
    const ran = await strata('run busybox', methods, { signals: ['SIGINT', 'SIGINT', 'SIGINT'] })
    assert.equal(ran.status, 1)
    assert.match(ran.stderr, /does not end on three signals/)
  })
  test('aborts a pull on Ctrl-C', { timeout: 5000 }, async () => {
    const run: Engine['run'] = (_, __, call) =>
      new Promise((_resolve, reject) => {
        call?.signal?.addEventListener('abort', () =>
          reject(new StrataError('cancelled', 'STRATA_CANCELLED', 'Cannot pull "busybox": it was interrupted')),
        )
      })
    const ran = await strata('run busybox', { run }, { signals: ['SIGINT'] })
    assert.deepEqual([ran.status, ran.stderr], [130, 'strata: Cannot pull "busybox": it was interrupted\n'])
  })
  test('shows progress in plain lines on stderr, each status once, and nothing with --quiet', async () => {
    const run: Engine['run'] = async (_, __, call) => {
      call?.onProgress?.({ id: '', status: "Unable to find image 'busybox:latest' locally" })
      call?.onProgress?.({ id: 'a1', status: 'Pulling fs layer' })
      call?.onProgress?.({ id: 'a1', status: 'Downloading', current: 1, total: 2 })
      call?.onProgress?.({ id: 'a1', status: 'Pull complete' })
      call?.onProgress?.({ id: 'a1', status: 'Pull complete' })
      return { id: 'c1', warnings: [], ended: Promise.resolve({ kind: 'exited', exitCode: 0 }) }
    }
    const ran = await strata('run busybox', { run })
    assert.equal(ran.stderr, "Unable to find image 'busybox:latest' locally\na1: Pulling fs layer\na1: Pull complete\n")
    assert.equal((await strata('run -q busybox', { run })).stderr, '')
  })
})
