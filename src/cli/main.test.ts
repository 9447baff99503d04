import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import { describe, test } from 'node:test'
import { type ByteStream, readAtMost, streamOf, StrataError } from '../base/index.ts'
import type { AttachedStreams, ContainerInspect, ContainerOptions, Engine, EngineOptions, ImageInspect } from '../engine/index.ts'
import { main } from './main.ts'
import type { Surroundings } from './surroundings.ts'

interface Ran {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
  readonly opened: EngineOptions | undefined
  readonly closed: boolean
}

interface Situation {
  readonly stdin?: string
  readonly env?: Readonly<Record<string, string>>
  /** Signals that arrive once the engine is asked to run something. */
  readonly signals?: readonly NodeJS.Signals[]
  readonly atOpen?: (options: EngineOptions | undefined) => void
}

/** Runs the command line against an engine of a few methods, with streams and signals of its own. */
async function strata(line: string | readonly string[], methods: Partial<Engine> = {}, situation: Situation = {}): Promise<Ran> {
  const stdin = new PassThrough()
  stdin.end(situation.stdin ?? '')
  const collected = { stdout: [] as Buffer[], stderr: [] as Buffer[] }
  const output = (name: 'stdout' | 'stderr'): PassThrough => new PassThrough().on('data', (chunk: Buffer) => collected[name].push(chunk))
  const listeners = new Map<string, () => void>()
  let opened: EngineOptions | undefined
  let closed = false
  const surroundings: Surroundings = {
    stdin,
    stdout: output('stdout'),
    stderr: output('stderr'),
    env: situation.env ?? {},
    now: () => new Date('2026-03-01T12:00:00Z'),
    setRawTerminal: () => assert.fail('there is no terminal'),
    onSignal(signal, listener) {
      listeners.set(signal, listener)
      return () => listeners.delete(signal)
    },
    async openEngine(options) {
      opened = options
      situation.atOpen?.(options)
      for (const signal of situation.signals ?? []) setTimeout(() => listeners.get(signal)?.(), 20)
      return { ...methods, close: async () => void (closed = true) } as Engine
    },
  }
  const status = await main(typeof line === 'string' ? line.split(' ') : line, surroundings)
  await new Promise(resolve => setImmediate(resolve))
  return { status, stdout: Buffer.concat(collected.stdout).toString(), stderr: Buffer.concat(collected.stderr).toString(), opened, closed }
}

const noSuch =
  (kind: string, code: 'IMAGE' | 'CONTAINER' | 'VOLUME' | 'NETWORK') =>
  async (name: string): Promise<never> => {
    throw new StrataError('notFound', `STRATA_NO_SUCH_${code}`, `Cannot find ${kind} "${name}": it does not exist`)
  }

const NOWHERE: Partial<Engine> = {
  inspectContainer: noSuch('container', 'CONTAINER'),
  inspectImage: noSuch('image', 'IMAGE'),
  inspectVolume: noSuch('volume', 'VOLUME'),
  inspectNetwork: noSuch('network', 'NETWORK'),
}

describe('main()', () => {
  test('hands the global options to the engine, and closes it', async () => {
    const ran = await strata('--root /r --storage-driver vfs --storage-opt a=b --config /c images -q', { images: async () => [] })
    const { logger, ...rest } = ran.opened ?? {}
    assert.ok(logger)
    assert.deepEqual(rest, { root: '/r', storageDriver: 'vfs', storageOptions: ['a=b'], configDirectory: '/c' })
    assert.deepEqual([ran.status, ran.stdout, ran.closed], [0, '', true])
  })
  test('logs on stderr with --debug, and not without', async () => {
    const images = async (): Promise<never[]> => []
    const logged = async (line: string): Promise<string> => {
      const methods: Partial<Engine> = { images }
      const ran = await strata(line, methods, { atOpen: options => options?.logger?.debug('hello') })
      return ran.stderr
    }
    assert.equal(await logged('images'), '')
    assert.match(await logged('--debug images'), /level=debug msg="hello"/)
    assert.match(await logged('-l debug images'), /level=debug msg="hello"/)
  })
  test('resolves only when a slow reader has everything', async () => {
    let size = 0
    const slow = new Writable({
      highWaterMark: 1,
      write(chunk: Buffer, _, done) {
        setTimeout(() => {
          size += chunk.length
          done()
        }, 50)
      },
    })
    const nothing = { stderr: slow, env: {}, stdin: new PassThrough().end() } as unknown as Surroundings
    assert.equal(await main(['--help'], { ...nothing, stdout: slow }), 0)
    assert.ok(size > 1000)
  })
  test('opens no engine for help, versions and wrong command lines', async () => {
    for (const line of [
      '--version',
      '--help',
      'run --help',
      'image',
      'help ps',
      'foo',
      'run',
      'ps --nope',
      'image foo',
      'run --memory x i',
    ]) {
      assert.equal((await strata(line)).opened, undefined, line)
    }
  })

  const STATUSES: readonly (readonly [string, number, RegExp])[] = [
    ['foo', 1, /^strata: 'foo' is not a strata command\.\nSee 'strata --help'\.\n$/],
    ['image foo', 1, /^strata: 'image foo' is not a strata command\.\nSee 'strata image --help'\.\n$/],
    ['--nope', 125, /^unknown flag: --nope\n\nUsage: {2}strata \[OPTIONS\] COMMAND/],
    ['ps --nope', 125, /^unknown flag: --nope\n\nUsage: {2}strata ps \[OPTIONS\]\n\nRun 'strata ps --help' for more information\n$/],
    ['run', 1, /^strata: 'strata run' requires at least 1 argument\n/],
    ['tag a', 1, /^strata: 'strata tag' requires 2 arguments\n/],
    ['images a b', 1, /^strata: 'strata images' requires at most 1 argument\n/],
    ['ps a', 1, /^strata: 'strata ps' accepts no arguments\n/],
    ['run --restart sometimes i', 125, /^strata: Cannot use --restart "sometimes"/],
    ['container create --restart sometimes i', 125, /^strata: Cannot use --restart "sometimes"/],
    ['ps --filter colour=red', 1, /^strata: Cannot use filter "colour=red"/],
    ['cp a b', 1, /neither side names a container\. Write the path in a container as CONTAINER:PATH\.\n$/],
    ['cp a:b c:d', 1, /Cannot copy between containers/],
    ['run -d -a stdout i', 125, /--attach: it cannot be given together with --detach/],
    ['run -it i', 1, /the input device is not a TTY/],
  ]
  for (const [line, status, message] of STATUSES) {
    test(`ends "strata ${line}" with ${status} and one clear complaint`, async () => {
      const ran = await strata(line)
      assert.equal(ran.status, status)
      assert.match(ran.stderr, message)
      assert.equal(ran.stdout, '')
    })
  }

  test('ends run with 127, 126 or 125 as the failure is the command’s, its mode’s or ours; other verbs with 1', async () => {
    const failing = (code: `STRATA_${string}`): Partial<Engine> => {
      const fail = async (): Promise<never> => {
        throw new StrataError('invalidArgument', code, 'Cannot start: no')
      }
      return { run: fail, create: fail, start: fail, exec: fail }
    }
    assert.equal((await strata('run i nope', failing('STRATA_COMMAND_NOT_FOUND'))).status, 127)
    assert.equal((await strata('run i /etc', failing('STRATA_COMMAND_NOT_EXECUTABLE'))).status, 126)
    assert.equal((await strata('run i', failing('STRATA_NO_RUNTIME'))).status, 125)
    assert.equal((await strata('container run i', failing('STRATA_NO_RUNTIME'))).status, 125)
    assert.equal((await strata('create i', failing('STRATA_NO_RUNTIME'))).status, 125)
    assert.equal((await strata('exec c nope', failing('STRATA_COMMAND_NOT_FOUND'))).status, 127)
    assert.equal((await strata('start c', failing('STRATA_NO_RUNTIME'))).status, 1)
  })
  test('prints an error as one sentence with its hint; causes only with --debug; never a stack', async () => {
    const cause = new StrataError('unavailable', 'STRATA_X', 'Cannot connect to "r": the connection was refused', {
      cause: new TypeError('deep'),
    })
    const pull = async (): Promise<never> => {
      throw new StrataError('unavailable', 'STRATA_Y', 'Cannot pull "a": the registry does not answer', { cause, hint: 'Try again later.' })
    }
    assert.equal((await strata('pull a', { pull })).stderr, 'strata: Cannot pull "a": the registry does not answer. Try again later.\n')
    assert.equal(
      (await strata('-D pull a', { pull })).stderr,
      'strata: Cannot pull "a": the registry does not answer. Try again later.\n' +
        '  caused by: Cannot connect to "r": the connection was refused\n' +
        '  caused by: deep (an internal error: TypeError)\n',
    )
  })
  test('goes on after a failure and tells by the exit code', async () => {
    const stop = async (name: string): Promise<void> => {
      if (name === 'b') await noSuch('container', 'CONTAINER')(name)
    }
    const ran = await strata('stop a b c', { stop })
    assert.deepEqual([ran.status, ran.stdout, ran.stderr], [1, 'a\nc\n', 'strata: Cannot find container "b": it does not exist\n'])
  })
  test('takes rm -f of what is not there for no failure', async () => {
    const removeContainer = noSuch('container', 'CONTAINER')
    assert.equal((await strata('rm a', { removeContainer })).status, 1)
    const forced = await strata('rm -f a', { removeContainer })
    assert.deepEqual([forced.status, forced.stdout], [0, ''])
    assert.match(forced.stderr, /does not exist/)
  })
})

describe('inspect', () => {
  const image = { Id: 'sha256:1', Config: { Labels: null } } as unknown as ImageInspect
  const container = { Id: 'c1', State: { Running: true } } as unknown as ContainerInspect

  test('prints an indented array of whatever kind has the name', async () => {
    const ran = await strata('inspect c1 debian:12', {
      ...NOWHERE,
      inspectContainer: async name => (name === 'c1' ? container : noSuch('container', 'CONTAINER')(name)),
      inspectImage: async () => image,
    })
    assert.equal(ran.stdout, `${JSON.stringify([container, image], undefined, 4)}\n`)
    assert.equal(ran.status, 0)
  })
  test('prints [] and docker’s complaint for what is not there', async () => {
    const ran = await strata('inspect x', NOWHERE)
    assert.deepEqual([ran.status, ran.stdout, ran.stderr], [1, '[]\n', 'Error: No such object: x\n'])
    for (const kind of ['image', 'container', 'volume', 'network']) {
      assert.equal((await strata(`${kind} inspect x`, NOWHERE)).stderr, `Error: No such ${kind}: x\n`)
      assert.equal((await strata(`inspect --type ${kind} x`, NOWHERE)).stderr, `Error: No such ${kind}: x\n`)
    }
  })
  test('prints what it found before it complains', async () => {
    const ran = await strata('image inspect x debian:12', {
      inspectImage: async name => (name === 'x' ? noSuch('image', 'IMAGE')(name) : image),
    })
    assert.deepEqual([ran.status, JSON.parse(ran.stdout), ran.stderr], [1, [image], 'Error: No such image: x\n'])
  })
  test('prints a line for each by a format, and an empty one when nothing is there', async () => {
    assert.equal(
      (await strata(['inspect', '-f', '{{.Id}}', 'c1', 'c2'], { ...NOWHERE, inspectContainer: async () => container })).stdout,
      'c1\nc1\n',
    )
    assert.equal((await strata(['inspect', '-f', '{{.Id}}', 'x'], NOWHERE)).stdout, '\n')
    assert.equal(
      (await strata('inspect -f json c1', { ...NOWHERE, inspectContainer: async () => container })).stdout,
      `${JSON.stringify(container)}\n`,
    )
  })
  test('knows which nulls are maps and which fields may be absent', async () => {
    const show = async (format: string): Promise<string> =>
      (await strata(['image', 'inspect', '-f', format, 'i'], { inspectImage: async () => image })).stdout
    assert.equal(await show('{{.Config.Labels}} {{.Config.Entrypoint}}'), 'map[] []\n')
    assert.equal(await show('{{if .Config.Healthcheck}}y{{else}}n{{end}}'), 'n\n')
  })
  test('refuses a wrong format before it asks for anything', async () => {
    const ran = await strata(['inspect', '-f', '{{.Id', 'c1'], NOWHERE)
    assert.equal(ran.status, 1)
    assert.match(ran.stderr, /^strata: Cannot parse format "\{\{\.Id": template: :1: unclosed action\n$/)
  })
})

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

describe('verbs that print', () => {
  test('pull ends with the digest, the status and the whole name; --quiet with the name alone', async () => {
    const pull: Engine['pull'] = async () => [
      { reference: 'docker.io/library/debian:12', name: 'debian:12', manifestDigest: 'sha256:d', imageId: 'sha256:i', newer: true },
    ]
    const ran = await strata('pull debian:12', { pull })
    assert.equal(ran.stdout, 'Digest: sha256:d\nStatus: Downloaded newer image for debian:12\ndocker.io/library/debian:12\n')
    assert.equal((await strata('pull -q debian:12', { pull })).stdout, 'docker.io/library/debian:12\n')
  })
  test('load names what it loaded, from stdin or a file', async () => {
    const sources: unknown[] = []
    const load: Engine['load'] = async source => {
      sources.push(typeof source === 'string' ? source : await textOf(source))
      return [
        { imageId: 'sha256:1', name: 'a:1' },
        { imageId: 'sha256:2', name: undefined },
      ]
    }
    assert.equal((await strata('load', { load }, { stdin: 'TAR' })).stdout, 'Loaded image: a:1\nLoaded image ID: sha256:2\n')
    await strata('image load -i /x.tar', { load })
    assert.deepEqual(sources, ['TAR', '/x.tar'])
  })
  test('import passes on changes, message and reference, and prints the id', async () => {
    const seen: unknown[] = []
    const ran = await strata(['import', '-c', 'CMD ["bash"]', '-m', 'why', 'root.tar', 'a:1'], {
      import: async (source, options) => {
        seen.push(source, options?.changes, options?.message, options?.reference)
        return { imageId: 'sha256:1' }
      },
    })
    assert.deepEqual([ran.stdout, seen], ['sha256:1\n', ['root.tar', ['CMD ["bash"]'], 'why', 'a:1']])
  })
  test('commit pauses by default, and not with --pause=false', async () => {
    const pauses: unknown[] = []
    const commit: Engine['commit'] = async (_, options) => {
      pauses.push(options?.pause)
      return { imageId: 'sha256:1' }
    }
    for (const line of ['commit c1', 'commit -p c1 a:1', 'commit --pause=false c1']) await strata(line, { commit })
    assert.deepEqual(pauses, [true, true, false])
  })
  test('diff prints A, C and D', async () => {
    const diff: Engine['diff'] = async () => [
      { kind: 'modify', path: '/etc' },
      { kind: 'add', path: '/etc/x' },
      { kind: 'delete', path: '/etc/y' },
    ]
    assert.equal((await strata('diff c1', { diff })).stdout, 'C /etc\nA /etc/x\nD /etc/y\n')
  })
  test('rmi prints what went', async () => {
    const removeImage: Engine['removeImage'] = async () => [
      { kind: 'untagged', name: 'a:1' },
      { kind: 'deleted', id: 'sha256:1' },
    ]
    assert.equal((await strata('rmi a:1', { removeImage })).stdout, 'Untagged: a:1\nDeleted: sha256:1\n')
  })
  test('logs keeps the streams apart, and stamps each line once with -t', async () => {
    const entry = (stream: 'stdout' | 'stderr', text: string): { stream: 'stdout' | 'stderr'; timestamp: string; bytes: Buffer } => ({
      stream,
      timestamp: '2026-01-01T00:00:00.000000001Z',
      bytes: Buffer.from(text),
    })
    const logs: Engine['logs'] = () => inOrder([entry('stdout', 'par'), entry('stderr', 'err\n'), entry('stdout', 'tial\nnext\n')])
    const plain = await strata('logs c1', { logs })
    assert.deepEqual([plain.stdout, plain.stderr], ['partial\nnext\n', 'err\n'])
    const stamped = await strata('logs -t c1', { logs })
    const at = '2026-01-01T00:00:00.000000001Z'
    assert.deepEqual([stamped.stdout, stamped.stderr], [`${at} partial\n${at} next\n`, `${at} err\n`])
  })
  test('logs reads --since, --until and --tail', async () => {
    const seen: unknown[] = []
    const logs: Engine['logs'] = (_, options) => {
      seen.push(options?.since?.toISOString(), options?.until?.toISOString(), options?.tail, options?.follow)
      return inOrder([])
    }
    await strata('logs --since 10m --until 2026-01-01T00:00:00Z -n 5 -f c1', { logs })
    await strata('logs --tail all c1', { logs })
    assert.deepEqual(seen, ['2026-03-01T11:50:00.000Z', '2026-01-01T00:00:00.000Z', 5, true, undefined, undefined, undefined, false])
    assert.match((await strata('logs --tail x c1', { logs })).stderr, /Cannot use --tail "x"/)
  })
  test('top lays processes out with twenty columns', async () => {
    const top: Engine['top'] = async (_, args) => ({ titles: ['UID', 'CMD'], processes: [['root', (args ?? ['default']).join(' ')]] })
    assert.equal((await strata('top c1 -o pid', { top })).stdout, 'UID                 CMD\nroot                -o pid\n')
    assert.match((await strata('top c1', { top })).stdout, /default/)
  })
  test('port lists published ports, or one of them', async () => {
    const inspectContainer = async (): Promise<ContainerInspect> =>
      ({
        NetworkSettings: {
          Ports: {
            '80/tcp': [
              { HostIp: '0.0.0.0', HostPort: '8080' },
              { HostIp: '::', HostPort: '8080' },
            ],
            '81/tcp': null,
          },
        },
      }) as unknown as ContainerInspect
    assert.equal((await strata('port c1', { inspectContainer })).stdout, '80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n')
    assert.equal((await strata('port c1 80', { inspectContainer })).stdout, '0.0.0.0:8080\n[::]:8080\n')
    assert.equal((await strata('port c1 81', { inspectContainer })).status, 1)
  })
  test('cp tells the engine which side is which, and streams tars through -', async () => {
    const seen: unknown[] = []
    const methods: Partial<Engine> = {
      copyToHost: async (...args) => (seen.push(['out', ...args.slice(0, 3)]), { bytes: 2048 }),
      copyFromHost: async (...args) => (seen.push(['in', ...args.slice(0, 3)]), { bytes: 5 }),
      copyFrom: async (...args) => (
        seen.push(['tar out', ...args.slice(0, 2)]),
        { stat: undefined as never, tar: streamOf(Buffer.from('TAR')) }
      ),
      copyTo: async (container, path, tar) => (seen.push(['tar in', container, path, await textOf(tar)]), { bytes: 3 }),
    }
    const out = await strata('cp -a c1:/etc/hosts .', methods)
    assert.equal(out.stderr, 'Successfully copied 2.05kB to .\n')
    assert.equal((await strata('cp -q ./a:b c1:/srv', methods)).stderr, '')
    assert.equal((await strata('cp c1:/etc -', methods)).stdout, 'TAR')
    await strata('cp - c1:/srv', methods, { stdin: 'IN' })
    assert.deepEqual(seen, [
      ['out', 'c1', '/etc/hosts', '.'],
      ['in', './a:b', 'c1', '/srv'],
      ['tar out', 'c1', '/etc'],
      ['tar in', 'c1', '/srv', 'IN'],
    ])
  })
  test('save writes to stdout, or a file that appears whole', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'strata-save-'))
    try {
      const save: Engine['save'] = async () => streamOf(Buffer.from('AB'), Buffer.from('CD'))
      assert.equal((await strata('save a b', { save })).stdout, 'ABCD')
      const path = join(directory, 'app.tar')
      assert.equal((await strata(`save -o ${path} a`, { save })).status, 0)
      assert.equal(await readFile(path, 'utf8'), 'ABCD')
      const failing: Engine['save'] = async () => {
        throw new StrataError('notFound', 'STRATA_NO_SUCH_IMAGE', 'Cannot save "x": it does not exist')
      }
      assert.equal((await strata(`save -o ${join(directory, 'none.tar')} x`, { save: failing })).status, 1)
      await assert.rejects(readFile(join(directory, 'none.tar')), { code: 'ENOENT' })
      assert.equal((await strata('save -o /dev/null a', { save })).status, 0)
      assert.match((await strata(`save -o ${directory} a`, { save })).stderr, /it is a directory/)
    } finally {
      await rm(directory, { recursive: true })
    }
  })
  test('prune asks first, and takes only y for yes', async () => {
    let calls = 0
    const pruneContainers: Engine['pruneContainers'] = async () => {
      calls += 1
      return { removed: ['c1'], reclaimedBytes: 212 }
    }
    const no = await strata('container prune', { pruneContainers }, { stdin: 'n\n' })
    assert.equal(no.stdout, 'WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] ')
    assert.equal(calls, 0)
    const yes = await strata('container prune', { pruneContainers }, { stdin: 'y\n' })
    assert.match(yes.stdout, /Deleted Containers:\nc1\n\nTotal reclaimed space: 212B\n$/)
    assert.equal(
      (await strata('container prune -f', { pruneContainers })).stdout,
      'Deleted Containers:\nc1\n\nTotal reclaimed space: 212B\n',
    )
    assert.equal(calls, 2)
  })
  test('system df sums up what is used and what could be reclaimed', async () => {
    const image = { parentId: '', tags: [], digests: [], createdAt: new Date(0), labels: {} }
    const diskUsage: Engine['diskUsage'] = async () => ({
      images: [
        { ...image, id: 'sha256:1', sizeBytes: 100_000_000, sharedBytes: 0, containers: 1 },
        { ...image, id: 'sha256:2', sizeBytes: 50_000_000, sharedBytes: 0, containers: 0 },
      ],
      layersBytes: 150_000_000,
      containers: [],
      volumes: [
        {
          CreatedAt: '',
          Driver: 'local',
          Labels: null,
          Mountpoint: '',
          Name: 'v',
          Options: null,
          Scope: 'local',
          UsageData: { Size: 36, RefCount: 0 },
        },
      ],
    })
    assert.equal(
      (await strata('system df', { diskUsage })).stdout,
      [
        'TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE',
        'Images          2         1         150MB     50MB (33%)',
        'Containers      0         0         0B        0B',
        'Local Volumes   1         0         36B       36B (100%)',
        'Build Cache     0         0         0B        0B',
        '',
      ].join('\n'),
    )
  })
  test('container cleanup is there for conmon, and not in help', async () => {
    const cleaned: string[] = []
    assert.equal((await strata('--root /r container cleanup abc', { cleanUpContainer: async id => void cleaned.push(id) })).status, 0)
    assert.deepEqual(cleaned, ['abc'])
    assert.doesNotMatch((await strata('container --help')).stdout, /cleanup/)
  })
})

/** The values one after the other, as a stream of them. */
async function* inOrder<T>(values: readonly T[]): AsyncGenerator<T> {
  yield* values
}

const textOf = async (bytes: ByteStream): Promise<string> => (await readAtMost(bytes, 1000)).toString()
