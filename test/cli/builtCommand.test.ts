import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { hash } from 'bcryptjs'
import { busyboxRootfs } from '../../scripts/fixtures/rootFilesystems.ts'
import { type ProgramResult, runProgram } from '../../src/base/index.ts'
import { mountsBelow, unmount } from '../../src/host/index.ts'
import { startServing } from '../serve/serveProcess.ts'
import { must } from '../support/commands.ts'
import { whyNot } from '../container/workshop.ts'

/*
 * What the build makes of the sources, which `npm test` has run before: verbs whose modules are loaded when they are used,
 * by the command as people have it. Other tests import the sources.
 */

const PROJECT = fileURLToPath(new URL('../../', import.meta.url))
const STRATA = join(PROJECT, 'bin/strata')
const skip = await whyNot()

let root: string
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'strata-built-'))
  if (skip === false) await must(STRATA, '--root', root, 'import', await busyboxRootfs(), 'bb:1')
})
after(async () => {
  for (const { target } of mountsBelow(root).toReversed()) unmount(target)
  await rm(root, { recursive: true, force: true })
})

function strata(...words: readonly string[]): Promise<ProgramResult> {
  return runProgram(STRATA, ['--root', root, ...words], { timeoutMs: 60_000 })
}

test('the command is built of these sources, so that these tests are about it', () => {
  const builtAt = statSync(join(PROJECT, 'dist/start.cjs'), { throwIfNoEntry: false })?.mtimeMs ?? 0
  const sources = readdirSync(join(PROJECT, 'src'), { recursive: true, encoding: 'utf8' }).filter(name => /(?<!\.test)\.[a-z]+$/.test(name))
  // Else the command runs from the sources.
  const newer = sources.filter(name => statSync(join(PROJECT, 'src', name)).mtimeMs > builtAt)
  assert.deepEqual(newer.slice(0, 5), [], 'run "npm run build", or the tests by "npm test"')
})

test('the built command speaks TLS to a registry before it speaks anything else', async () => {
  const { code, stderr } = await strata('pull', '127.0.0.1:1/nothing:1')
  assert.equal(code, 1)
  assert.match(stderr, /^strata: Cannot reach registry "127\.0\.0\.1:1": connect ECONNREFUSED/)
})

/** Requests that are neither answered nor end, and keep no process alive. */
const NEVER_ANSWERED = `
const { EventEmitter } = require('node:events')
require('node:http').request = () => {
  const nothing = () => request
  const request = Object.assign(new EventEmitter(), { destroy: nothing, write: nothing })
  const socket = Object.assign(new EventEmitter(), { setTimeout: () => socket })
  request.end = () => void request.emit('socket', socket)
  return request
}
require('node:https').request = () => { throw new Error('no TLS here') }`

for (const [title, words] of [
  ['built command', [STRATA]],
  ['command from its sources', [process.execPath, join(PROJECT, 'src/cli/start.ts')]],
] as const) {
  test(`the ${title} fails, and says so, when it waits for something that never comes`, async () => {
    const preloaded = join(root, 'neverAnswered.cjs')
    await writeFile(preloaded, NEVER_ANSWERED)
    const env = { ...process.env, NODE_OPTIONS: `--require=${preloaded} --disable-warning=ExperimentalWarning` }
    const [program, ...first] = words
    const ended = await runProgram(program, [...first, '--root', root, 'pull', '127.0.0.1:1/nothing:1'], { env, timeoutMs: 60_000 })
    assert.deepEqual([ended.code, ended.stderr], [1, 'strata: Cannot finish: what the command waits for never comes\n'])
  })
}

test('the built command tells how a container with a terminal ended that is removed then', { skip }, async () => {
  const line = `${STRATA} --root ${root} run -it --rm --network none bb:1 sh -c "tty; exit 5"`
  const { code, stdout } = await runProgram('script', ['-qec', line, '/dev/null'], { timeoutMs: 60_000 })
  assert.equal(code, 5)
  assert.match(stdout, /\/dev\/pts\/\d/)
})

test('the built command writes the id of a container where it is told to', { skip }, async () => {
  const file = join(root, 'cid')
  const { code, stderr } = await strata('run', '--rm', '--cidfile', file, '--network', 'none', 'bb:1', 'true')
  assert.deepEqual([code, stderr], [0, ''])
  assert.match(readFileSync(file, 'utf8'), /^[0-9a-f]{64}$/)
})

test('the built command compares passwords of those who are to be served', async () => {
  const htpasswd = join(root, 'htpasswd')
  await writeFile(htpasswd, `ann:${await hash('pw', 4)}`)
  const server = await startServing(join(root, 'served'), '--htpasswd', htpasswd)
  const statusFor = async (password: string): Promise<number> => {
    const headers = { authorization: `Basic ${Buffer.from(`ann:${password}`).toString('base64')}` }
    return (await fetch(`http://${server.address}/v2/`, { headers })).status
  }
  assert.deepEqual([await statusFor('pw'), await statusFor('guess')], [200, 401])
  assert.equal(await server.end('SIGTERM'), 0)
})
