/*
 * The main job on real input, from nothing to an image that can be handed on: `npm run quickstart`.
 * Every step is a command that a user would type; what it prints is what the command printed.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { encodeTarHeader, TAR_END, tarPadding } from '../src/tar/index.ts'
import { helloExecutable } from './fixtures/helloExecutable.ts'
import { busyboxRootfs, debianRootfs } from './fixtures/rootFilesystems.ts'

const STRATA = fileURLToPath(new URL('../bin/strata', import.meta.url))
const GREETING = 'Hello from an image made FROM nothing.'

const scratch = await mkdtemp(join(tmpdir(), 'strata-quickstart-'))
const root = process.env['STRATA_ROOT'] ?? join(scratch, 'root')

function say(text: string): void {
  process.stdout.write(`\n\u001b[1m${text}\u001b[0m\n`)
}

/** Runs `strata …` as a user does, and gives what it printed. */
async function strata(...args: readonly string[]): Promise<string> {
  process.stdout.write(`$ strata ${args.map(quoted).join(' ')}\n`)
  const child = spawn(STRATA, ['--root', root, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const chunks: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    process.stdout.write(chunk)
  })
  const [code] = (await once(child, 'close')) as [number | null]
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

/** The real root filesystem: Debian where apt can be reached, and what is on this machine where it cannot. */
async function rootfs(): Promise<{ readonly path: string; readonly name: string }> {
  try {
    return { path: await debianRootfs(), name: 'debian' }
  } catch (error) {
    process.stdout.write(
      `(no debootstrap from here: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}; taking this machine's busybox)\n`,
    )
    return { path: await busyboxRootfs(), name: 'busybox' }
  }
}

async function main(): Promise<void> {
  say('1. The smallest image there is: a static executable of 200 bytes, FROM nothing')
  const tar = join(scratch, 'hello.tar')
  await writeFile(tar, helloTar())
  await strata('import', '--quiet', '--change', 'CMD ["/hello"]', tar, 'hello')
  expect(await strata('run', '--rm', '--network', 'none', 'hello'), GREETING)

  say('2. A real root filesystem becomes an image')
  const { path, name } = await rootfs()
  await strata('import', '--quiet', '--change', 'CMD ["sh"]', path, `${name}:base`)

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

  say('5. The stack of layers, newest first, and what the images share')
  await strata('history', `${name}:changed`)
  await strata('images')
  await strata('system', 'df', '--verbose')

  say('6. Handed on: an archive that docker, podman and skopeo read')
  const archive = join(scratch, 'changed.tar')
  await strata('save', '--output', archive, `${name}:changed`)
  await strata('rmi', `${name}:changed`)
  await strata('load', '--quiet', '--input', archive)
  say('That was the main job. `./bin/strata --help` lists the rest.')
}

try {
  await main()
} finally {
  await rm(scratch, { recursive: true, force: true })
}
