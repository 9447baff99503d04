/*
 * The main job on real input, from nothing to an image that can be handed on: `npm run quickstart`.
 * Every step is a command that a user would type; what it prints is what the command printed.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { encodeTarHeader, TAR_END, tarPadding } from '../src/tar/index.ts'
import { helloExecutable } from './fixtures/helloExecutable.ts'
import { busyboxRootfs, debianRootfs } from './fixtures/rootFilesystems.ts'

const STRATA = fileURLToPath(new URL('../bin/strata', import.meta.url))
const GREETING = 'Hello from an image made FROM nothing.'

const isRoot = process.getuid?.() === 0
let scratch = ''

function say(text: string): void {
  process.stdout.write(`\n\u001b[1m${text}\u001b[0m\n`)
}

/** Runs `strata …` as a user does, and gives what it printed. */
async function strata(...args: readonly string[]): Promise<string> {
  process.stdout.write(`$ strata ${args.map(quoted).join(' ')}\n`)
  const child = spawn(STRATA, ['--root', process.env['STRATA_ROOT'] ?? join(scratch, 'root'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const chunks: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    process.stdout.write(chunk)
  })
  const code = await ended(child)
  if (code !== 0) throw new Error(`strata ${args.join(' ')} ended with ${code}`)
  return Buffer.concat(chunks).toString()
}

const quoted = (argument: string): string => (/^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument}'`)

function expect(output: string, part: string): void {
  if (!output.includes(part)) throw new Error(`Expected "${part}" in: ${output}`)
}

/** A layer tar with one executable, and nothing else. */
function helloTar(): Buffer {
  const content = helloExecutable(GREETING)
  const header = encodeTarHeader({
    type: 'file',
    path: 'hello',
    linkPath: '',
    mode: 0o755,
    uid: 0,
    gid: 0,
    userName: '',
    groupName: '',
    size: content.length,
    modifiedAt: { seconds: 0, nanoseconds: 0 },
    xattrs: new Map(),
  })
  return Buffer.concat([header, content, tarPadding(content.length), TAR_END])
}

interface Rootfs {
  readonly path: string
  readonly name: string
}

/** The real root filesystem: Debian where debootstrap can make it, else what is on this machine, in the worst case `otherwise`. */
async function rootfs(otherwise: Rootfs): Promise<Rootfs> {
  try {
    if (!isRoot) throw new Error('debootstrap needs root')
    process.stdout.write('(the first time debootstrap makes it, which takes about a minute)\n')
    return { path: await debianRootfs(), name: 'debian' }
  } catch (error) {
    process.stdout.write(`(no Debian from here: ${reasonOf(error)}; taking this machine's busybox)\n`)
  }
  try {
    return { path: await busyboxRootfs(), name: 'busybox' }
  } catch (error) {
    process.stdout.write(`(no busybox either: ${reasonOf(error)})\n`)
    return otherwise
  }
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).split('\n')[0]!

/** The exit code of a program; undefined when a signal ended it or it could not be started. */
function ended(child: ChildProcess): Promise<number | undefined> {
  return new Promise(resolve => {
    child.once('error', () => resolve(undefined))
    child.once('close', code => resolve(code ?? undefined))
  })
}

/** Whether sudo lets this user be root; it asks for a password where somebody can type it. */
async function maySudo(): Promise<boolean> {
  const question = process.stdin.isTTY ? ['-v'] : ['-n', 'true']
  return (await ended(spawn('sudo', question, { stdio: ['inherit', 'ignore', process.stdin.isTTY ? 'inherit' : 'ignore'] }))) === 0
}

/** Starts this program again as root. */
async function goOnWithSudo(): Promise<number> {
  process.stdout.write('(containers need root: going on with sudo)\n')
  const settings = ['STRATA_ROOT', 'STRATA_FIXTURES'].flatMap(name =>
    process.env[name] === undefined ? [] : [`${name}=${process.env[name]}`],
  )
  const self = [process.execPath, fileURLToPath(import.meta.url)]
  return (await ended(spawn('sudo', ['env', ...settings, ...self], { stdio: 'inherit' }))) ?? 1
}

async function main(): Promise<void> {
  if (!isRoot) say('Containers need root, which this user is not and may not become with sudo: nothing is run, all the rest is shown.')

  say('1. The smallest image there is: a static executable of 200 bytes, FROM nothing')
  const tar = join(scratch, 'hello.tar')
  await writeFile(tar, helloTar())
  await strata('import', '--quiet', '--change', 'CMD ["/hello"]', tar, 'hello')
  if (isRoot) expect(await strata('run', '--rm', '--network', 'none', 'hello'), GREETING)

  say('2. A real root filesystem becomes an image')
  const { path, name } = await rootfs({ path: tar, name: 'hello' })
  await strata('import', '--quiet', '--change', 'CMD ["sh"]', path, `${name}:base`)
  const image = isRoot ? await changed(name) : `${name}:base`

  say('5. The stack of layers, newest first, and what the images share')
  await strata('history', image)
  await strata('images')
  await strata('system', 'df', '--verbose')

  say('6. Handed on: an archive that docker, podman and skopeo read')
  const archive = join(scratch, 'handed-on.tar')
  await strata('save', '--output', archive, image)
  await strata('rmi', image)
  await strata('load', '--quiet', '--input', archive)
  say(`That was ${isRoot ? 'the main job' : 'what needs no root'}. \`./bin/strata --help\` lists the rest.`)
}

/** Changes an image in a container; gives the name of what came of it. */
async function changed(name: string): Promise<string> {
  say('3. A shell in a container: its files are the image’s, its kernel is this machine’s')
  await strata(
    'run',
    '--name',
    'quickstart',
    '--network',
    'none',
    `${name}:base`,
    'sh',
    '-c',
    '. /etc/os-release; echo "$PRETTY_NAME on Linux $(uname -r)"; echo changed > /etc/motd; rm -f /etc/issue',
  )

  say('4. What it changed, and the change as a new layer')
  expect(await strata('diff', 'quickstart'), '/etc/motd')
  await strata('commit', '--message', 'a message of the day', 'quickstart', `${name}:changed`)
  await strata('rm', 'quickstart')
  expect(await strata('run', '--rm', '--network', 'none', `${name}:changed`, 'cat', '/etc/motd'), 'changed')
  return `${name}:changed`
}

if (!isRoot && (await maySudo())) {
  process.exitCode = await goOnWithSudo()
} else {
  scratch = await mkdtemp(join(tmpdir(), 'strata-quickstart-'))
  try {
    await main()
  } catch (error) {
    process.stderr.write(`quickstart: ${reasonOf(error)}\n`)
    process.exitCode = 1
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}
