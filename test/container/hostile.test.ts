import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { ContainerImage } from '../../src/container/index.ts'
import { openWorkshop, remains, runToEnd, whyNot, type Workshop } from './workshop.ts'

const skip = await whyNot()
let workshop: Workshop
let busybox: ContainerImage
let scratch: string

before(async () => {
  if (skip !== false) return
  workshop = await openWorkshop()
  busybox = await workshop.busybox()
  scratch = await mkdtemp(join(tmpdir(), 'strata-hostile-'))
})

after(async () => {
  if (skip !== false) return
  await workshop[Symbol.asyncDispose]()
  rmSync(scratch, { recursive: true, force: true })
})

/** An image of one busybox, and what a shell of this machine makes in its tree. */
async function imageMade(name: string, script: string): Promise<ContainerImage> {
  const root = join(scratch, name)
  const base = `mkdir -p ${root}/bin ${root}/etc && cp $(command -v busybox) ${root}/bin/ && ln -s busybox ${root}/bin/sh && ln -s busybox ${root}/bin/id`
  execFileSync('sh', ['-c', `${base} && cd ${root} && ${script} && tar --sparse -cf ${root}.tar .`])
  return workshop.image(`${root}.tar`, { Env: ['PATH=/bin'], Cmd: ['id'] })
}

const once = { autoRemove: true }

test('hostile #84: no descriptor of this machine is open in a container, and a WORKDIR in /proc is refused', { skip }, async () => {
  for (const autoRemove of [true, false]) {
    // And ls has the directory itself, to which no name leads any more.
    const { stdout, id } = await runToEnd(workshop, busybox, { command: ['ls', '-l', '/proc/self/fd'], autoRemove })
    const open = stdout.split('\n').flatMap(line => (line.includes(' -> ') ? [line.split(' -> ')[1]!] : []))
    assert.equal(open.length, 3, stdout)
    for (const target of open) assert.match(target, /^(?:\/dev\/null|pipe:\[\d+\]|\/proc\/\d+\/fd)$/)
    if (!autoRemove) await workshop.containers.remove(id)
  }
  const image: ContainerImage = {
    ...busybox,
    config: { ...busybox.config, config: { ...busybox.config.config, WorkingDir: '/proc/self/fd/7' } },
  }
  await assert.rejects(runToEnd(workshop, image, { command: ['pwd'], ...once }), { kind: 'invalidArgument' })
})

test('hostile #86: a VOLUME in /proc is refused', { skip }, async () => {
  const image: ContainerImage = {
    ...busybox,
    config: { ...busybox.config, config: { ...busybox.config.config, Volumes: { '/proc/sys': {} } } },
  }
  await assert.rejects(runToEnd(workshop, image, { command: ['true'], ...once }), { kind: 'invalidArgument' })
  assert.deepEqual(remains(workshop), [])
})

test('hostile #89: nothing is inheritable', { skip }, async () => {
  const { stdout } = await runToEnd(workshop, busybox, { command: ['grep', 'CapInh', '/proc/self/status'], ...once })
  assert.match(stdout, /^CapInh:\s*0+\n$/)
})

test("hostile #90: the groups are the image's for the user, or those that are given, never the caller's", { skip }, async () => {
  const groups = async (user: string, more: object = {}): Promise<string> =>
    (await runToEnd(workshop, busybox, { command: ['id', '-G'], user, ...once, ...more })).stdout.trim()
  assert.equal(await groups('www'), '33 10')
  assert.equal(await groups('www:nogroup'), '65534')
  assert.equal(await groups('1234'), '0')
  assert.equal(await groups('1234:5678', { groups: ['wheel', '77'] }), '5678 10 77')
})

test('hostile #91: ids that would wrap to root are refused', { skip }, async () => {
  for (const user of ['2147483648', '4294967296', '0:4294967295', '18446744073709551616']) {
    await assert.rejects(runToEnd(workshop, busybox, { command: ['id'], user, ...once }), { kind: 'invalidArgument' }, user)
  }
})

test('hostile #92: labels of an image never reach the runtime', { skip }, async () => {
  const Labels = { 'run.oci.handler': 'krun', 'run.oci.keep_original_groups': '1', 'org.criu.config': '/etc/passwd' }
  const image: ContainerImage = { ...busybox, config: { ...busybox.config, config: { ...busybox.config.config, Labels } } }
  const { id } = await workshop.containers.run({ image: image.name, command: ['sleep', '100'], network: 'none' }, image)
  assert.deepEqual((await workshop.containers.inspect(id)).Config.Labels, Labels)
  const bundle = readFileSync(join(workshop.runDirectory, 'c', id, 'config.json'), 'utf8')
  assert.doesNotMatch(bundle, /krun|criu|keep_original/)
  await workshop.containers.remove(id, { force: true })
})

test(
  'hostile #94: an /etc/passwd that is huge, a FIFO, a device or a link out is no way to block or fill this process',
  { skip },
  async () => {
    const huge = await imageMade('huge', 'truncate -s 100M etc/passwd')
    await assert.rejects(runToEnd(workshop, huge, { user: 'www', ...once }), { code: 'STRATA_TOO_LARGE' })
    for (const [name, script] of [
      ['fifo', 'mkfifo etc/passwd'],
      ['device', 'mknod etc/passwd c 1 5'],
      ['out', 'ln -s ../../../../../../etc/shadow etc/passwd'],
      ['proc', 'ln -s /proc/self/environ etc/passwd'],
    ] as const) {
      const image = await imageMade(name, script)
      await assert.rejects(runToEnd(workshop, image, { user: 'www', ...once }), { code: 'STRATA_UNKNOWN_USER' }, name)
      assert.equal((await runToEnd(workshop, image, { user: '33', command: ['sh', '-c', 'echo ran'], ...once })).stdout, 'ran\n')
    }
    assert.deepEqual(remains(workshop), [])
  },
)

test('places that are mounted on are made inside the image whatever its links say (hostile #46)', { skip }, async () => {
  const victim = join(scratch, 'victim')
  execFileSync('mkdir', [victim])
  const image = await imageMade(
    'links',
    `rmdir etc && ln -s ../../../../../../../..${victim} etc && ln -s ${victim} proc && ln -s ${victim} sys && ln -s ${victim} dev`,
  )
  await runToEnd(workshop, image, { command: ['/bin/sh', '-c', 'echo'], user: '0', ...once }).catch(() => undefined)
  assert.equal(execFileSync('ls', ['-A', victim], { encoding: 'utf8' }), '')
  assert.deepEqual(remains(workshop), [])
})
