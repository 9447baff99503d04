import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { StrataError, systemError } from '../base/index.ts'
import type { Engine } from '../engine/index.ts'
import { noSuch, strata } from '../../test/cli/strataInTest.ts'
import { main } from './main.ts'
import type { Surroundings } from './surroundings.ts'

describe('main()', () => {
  test('hands the global options to the engine, and closes it', async () => {
    const ran = await strata('--root /r --storage-driver vfs --config /c images -q', { images: async () => [] })
    const { logger, ...rest } = ran.opened ?? {}
    assert.ok(logger)
    assert.deepEqual(rest, { root: '/r', storageDriver: 'vfs', configDirectory: '/c' })
    assert.deepEqual([ran.status, ran.stdout, ran.closed], [0, '', true])
  })
  test('lets an engine do without fsync by --no-fsync or STRATA_NO_FSYNC=1, of which the first is stronger', async () => {
    const fsync = async (line: string, env: Readonly<Record<string, string>>): Promise<boolean | undefined> =>
      (await strata(line, { images: async () => [] }, { env })).opened?.fsync
    assert.equal(await fsync('images', {}), undefined)
    assert.equal(await fsync('--no-fsync images', {}), false)
    assert.equal(await fsync('images', { STRATA_NO_FSYNC: '1' }), false)
    assert.equal(await fsync('images', { STRATA_NO_FSYNC: '' }), undefined)
    assert.equal(await fsync('--no-fsync=false images', { STRATA_NO_FSYNC: '1' }), undefined)
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
  test('resolves only when all output is written', async () => {
    let done = false
    const surroundings = {
      env: {},
      print: () => undefined,
      written: async () => {
        await setTimeout(50)
        done = true
      },
    } as unknown as Surroundings
    assert.equal(await main(['--help'], surroundings), 0)
    assert.ok(done)
  })
  test('writes no control characters of strangers in what it complains about', async () => {
    const images = async (): Promise<never> => {
      throw new StrataError('notFound', 'STRATA_NO_SUCH_PLATFORM', 'Cannot find x\u001b[31m: no\nstrata: all is well', {
        hint: 'It has linux/\u202e46dma\u009b1m.',
        cause: new Error('\u0007'),
      })
    }
    const shown = String.raw`strata: Cannot find x\u001b[31m: no\u000astrata: all is well. It has linux/\u202e46dma\u009b1m.`
    assert.equal((await strata('images', { images })).stderr, `${shown}\n`)
    assert.ok((await strata('--debug images', { images })).stderr.endsWith(`${shown}\n  caused by: ${String.raw`\u0007`}\n`))
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
    ['copy --all --platform amd64 dir:a dir:b', 125, /^--all and --platform exclude each other\n/],
    ['pull --platform amd64 --all-platforms a', 125, /^--all-platforms and --platform exclude each other\n/],
    ['save --since a --since b c', 125, /^invalid argument "b" for "--since" flag: it was given already/],
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
        throw new StrataError('unavailable', code, 'Cannot start: no')
      }
      return { run: fail, create: fail, start: fail, exec: fail }
    }
    assert.equal((await strata('run i nope', failing('STRATA_COMMAND_NOT_FOUND'))).status, 127)
    assert.equal((await strata('run i /etc', failing('STRATA_COMMAND_NOT_EXECUTABLE'))).status, 126)
    assert.equal((await strata('run i', failing('STRATA_NO_RUNTIME'))).status, 125)
    assert.equal((await strata('container run i', failing('STRATA_NO_RUNTIME'))).status, 125)
    assert.equal((await strata('create i', failing('STRATA_NO_RUNTIME'))).status, 1)
    assert.equal((await strata('exec c nope', failing('STRATA_COMMAND_NOT_FOUND'))).status, 127)
    assert.equal((await strata('exec -w /no c pwd', failing('STRATA_NO_WORKING_DIRECTORY'))).status, 127)
    assert.equal((await strata('exec -u no c id', failing('STRATA_UNKNOWN_USER'))).status, 126)
    assert.equal((await strata('run -u no i id', failing('STRATA_UNKNOWN_USER'))).status, 125)
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
  test('tells the signal also where Node gives up with an AbortError of its own', async () => {
    const pull: Engine['pull'] = (_, { signal } = {}) => setTimeout(10_000, [], { signal: signal! })
    const push: Engine['push'] = (_, { signal } = {}) =>
      setTimeout(10_000, [], { signal: signal! }).catch((error: unknown) => {
        throw systemError('write "x"', error)
      })
    for (const verb of ['pull', 'push']) {
      const { status, stderr } = await strata(`${verb} a`, { pull, push }, { signals: ['SIGTERM'] })
      assert.deepEqual([status, stderr], [143, 'strata: interrupted by SIGTERM\n'])
    }
  })
  test('ends with 128 and the signal that interrupted it', async () => {
    const pull: Engine['pull'] = (_, { signal } = {}) =>
      new Promise((_resolve, reject) => {
        signal!.addEventListener('abort', () => reject(signal!.reason as Error), { once: true })
      })
    for (const [signal, status] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const) {
      const ran = await strata('pull a', { pull }, { signals: [signal] })
      assert.deepEqual([ran.status, ran.stderr], [status, `strata: interrupted by ${signal}\n`])
    }
  })
  test('says which of its packages is missing', async () => {
    const missing = Object.assign(new Error("Cannot find module 'koffi'\nRequire stack:\n- /x.cjs"), { code: 'MODULE_NOT_FOUND' })
    const ran = await strata('images', { images: () => Promise.reject(missing) })
    assert.match(ran.stderr, /^strata: Cannot go on: the package "koffi" is missing\. Run "npm ci" in \/\S+, which brings it\n$/)
  })
  test('tells what the system refused to nobody in particular', async () => {
    const refused = Object.assign(new Error("EACCES: permission denied, lstat '/r/x'"), { code: 'EACCES', syscall: 'lstat', path: '/r/x' })
    const ran = await strata('images', { images: () => Promise.reject(refused) })
    assert.equal(ran.stderr, 'strata: Cannot lstat "/r/x": permission denied. Run the command as root, or choose another --root.\n')
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
