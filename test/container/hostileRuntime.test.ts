import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { findProgram } from '../../src/base/index.ts'
import type { ContainerImage } from '../../src/container/index.ts'
import { openWorkshop, remains, runToEnd, Sink, whyNot, type Workshop } from './workshop.ts'

/* Images and containers that aim at the runtime, at this machine's /proc, and at the store itself. */

const skip = await whyNot()
let workshop: Workshop
let busybox: ContainerImage
let host: string

before(async () => {
  if (skip !== false) return
  workshop = await openWorkshop()
  busybox = await workshop.busybox()
  host = mkdtempSync(join(tmpdir(), 'strata-aims-'))
})
after(async () => {
  if (skip !== false) return
  await workshop[Symbol.asyncDispose]()
  rmSync(host, { recursive: true, force: true })
})

/** An image of one busybox, and what a shell of this machine makes in its tree. */
async function imageMade(name: string, script: string, config: ContainerImage['config']['config'] = {}): Promise<ContainerImage> {
  const root = join(host, name)
  const base = `mkdir -p ${root}/bin ${root}/etc && cp $(command -v busybox) ${root}/bin/ && for n in sh cat ls sleep id; do ln -s busybox ${root}/bin/$n; done`
  execFileSync('sh', ['-c', `set -e; ${base}; cd ${root}; ${script}; tar -cf ${root}.tar .`])
  return workshop.image(`${root}.tar`, { Env: ['PATH=/bin'], ...config })
}

async function runtimeHash(): Promise<string> {
  const path = (await findProgram('crun')) ?? ''
  return createHash('sha256').update(readFileSync(path)).digest('hex')
}

test(
  "hostile #83: an exec'd program that is the runtime itself, and a process that waits for it, can not write to it",
  { skip },
  async () => {
    const before = await runtimeHash()
    // What #!/proc/self/exe runs is, for a moment, the runtime that has just entered the container.
    const image = await imageMade('self', `printf '#!/proc/self/exe\\n' > bin/evil; chmod 755 bin/evil; ln -s /proc/self/exe bin/link`)
    const lurk = 'while :; do for p in /proc/[0-9]*; do echo broken > $p/exe; done; done 2>/dev/null'
    const { id } = await workshop.containers.run(
      { image: image.name, command: ['sh', '-c', lurk], network: 'none', capabilitiesAdded: ['ALL'] },
      image,
    )
    for (let times = 0; times < 8; times += 1) {
      for (const command of [['/bin/evil'], ['/bin/link', '--version'], ['/proc/self/exe']]) {
        const [stdout, stderr] = [new Sink(), new Sink()]
        await workshop.containers
          .exec(id, { command }, { stdout, stderr })
          .then(({ ended }) => ended)
          .catch(() => undefined)
        assert.doesNotMatch(stdout.text, /crun version|runc version/)
      }
    }
    await workshop.containers.remove(id, { force: true })
    for (const command of [['/bin/evil'], ['/bin/link']])
      await runToEnd(workshop, image, { command, autoRemove: true }).catch(() => undefined)
    assert.equal(await runtimeHash(), before)
  },
)

test('hostile #85: a /dev whose null and console are links does not uncover what is masked, nor lead a console out', { skip }, async () => {
  const outside = join(host, 'console-victim')
  writeFileSync(outside, 'untouched')
  const pattern = readFileSync('/proc/sys/kernel/core_pattern', 'utf8')
  const devices = join(host, 'devices')
  const targets = ['/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger', `../../../../../../../..${outside}`, outside]
  let started = 0
  for (const [target, links] of targets.flatMap((each): (readonly [string, readonly string[]])[] => [
    [each, ['null', 'console', 'ptmx', 'pts/0', 'zero', 'full', 'tty']],
    [each, ['console', 'pts/0']],
  ])) {
    rmSync(devices, { recursive: true, force: true })
    mkdirSync(join(devices, 'pts'), { recursive: true })
    for (const name of links) symlinkSync(target, join(devices, name))
    if (!links.includes('null')) execFileSync('mknod', ['-m', '666', join(devices, 'null'), 'c', '1', '3'])
    const script = `for f in /proc/kcore /proc/keys /proc/timer_list /proc/sysrq-trigger /dev/console; do echo owned > $f; done 2>/dev/null; cat /proc/kcore | wc -c`
    for (const tty of [false, true]) {
      const options = { command: ['sh', '-c', script], binds: [`${devices}:/dev`], tty, autoRemove: true }
      const end = await runToEnd(workshop, busybox, options).catch((error: Error) => error)
      // Refused, or started with what is masked still empty.
      if (end instanceof Error) continue
      started += 1
      assert.match(end.stdout, /(?:^|\n)0\s/, `${target} ${tty}: ${end.stdout}`)
    }
    assert.equal(readFileSync(outside, 'utf8'), 'untouched', target)
    assert.equal(readFileSync('/proc/sys/kernel/core_pattern', 'utf8'), pattern, target)
  }
  assert.ok(started > 0, 'some came through')
})

test(
  'hostile #85: containers that share a volume and swap its links all the time get nobody a mount over /proc',
  { skip, timeout: 60_000 },
  async () => {
    const pattern = readFileSync('/proc/sys/kernel/core_pattern', 'utf8')
    const swap = 'cd /shared; while :; do mkdir -p sub; rm -rf sub; ln -s /proc sub; rm -f sub; done 2>/dev/null'
    const { id } = await workshop.containers.run(
      { image: busybox.name, command: ['sh', '-c', swap], binds: ['shared85:/shared'], network: 'none' },
      busybox,
    )
    let started = 0
    for (let round = 0; round < 15; round += 1) {
      const script = 'cat /proc/self/mountinfo; echo owned > /proc/sys/kernel/core_pattern; echo x > /proc/sysrq-trigger'
      const mounts = ['attr', 'sys/kernel'].map(name => ({ type: 'tmpfs' as const, target: `/shared/sub/${name}` }))
      await runToEnd(workshop, busybox, { command: ['sh', '-c', script], binds: ['shared85:/shared'], mounts, autoRemove: true }).then(
        ({ stdout }) => {
          started += 1
          // /proc has its own mounts and no other.
          const over = stdout.split('\n').filter(line => / \/proc\/(?:attr|self|sys\/kernel)\b/.test(line))
          assert.deepEqual(over, [])
        },
        () => undefined,
      )
      assert.equal(readFileSync('/proc/sys/kernel/core_pattern', 'utf8'), pattern)
    }
    assert.ok(started > 0, 'some came through')
    await workshop.containers.remove(id, { force: true })
  },
)

test('hostile #93: what an image says of a checkpoint, of devices and hooks is nobody’s instruction', { skip }, async () => {
  const claims = {
    'org.criu.checkpoint.container.name': 'innocent',
    'io.kubernetes.cri-o.annotations.checkpoint.name': 'innocent',
    'cdi.k8s.io/strata': 'vendor.com/device=all',
    'run.oci.hooks.stdout': '/tmp/strata-hostile-93',
    'run.oci.mount_context_type': 'rootcontext',
    'io.containerd.image.name': 'docker.io/library/debian:latest',
  }
  // The layer has the files of a checkpoint too: their links are files like others.
  const outside = join(host, 'log-victim')
  writeFileSync(outside, 'untouched')
  const image = await imageMade(
    'checkpoint',
    `mkdir checkpoint; ln -s ${outside} container.log; ln -s ${outside} stats-dump; echo '{"annotations":{"cdi.k8s.io/x":"vendor.com/device=all"}}' > config.dump; cp config.dump spec.dump`,
    { Labels: claims },
  )
  const { id } = await workshop.containers.run(
    { image: image.name, command: ['sh', '-c', 'echo logged; sleep 100'], network: 'none' },
    image,
  )
  const bundle = JSON.parse(readFileSync(join(workshop.runDirectory, 'c', id, 'config.json'), 'utf8')) as {
    readonly annotations?: object
    readonly hooks?: object
    readonly linux: { readonly devices?: readonly { readonly path: string }[] }
  }
  // Our own alone: the seccomp filter for crun.
  assert.deepEqual(
    Object.keys(bundle.annotations ?? {}).filter(key => key !== 'run.oci.seccomp_bpf_data'),
    [],
  )
  assert.equal(bundle.hooks, undefined)
  assert.doesNotMatch(JSON.stringify(bundle), /criu|vendor\.com|innocent/)
  assert.deepEqual((await workshop.containers.inspect(id)).Config.Labels, claims)
  assert.equal(readFileSync(outside, 'utf8'), 'untouched')
  await workshop.containers.remove(id, { force: true })
})

test('hostile #95: files that the runtime would write or follow in the root of an image lead nowhere', { skip }, async () => {
  const outside = join(host, 'krun')
  mkdirSync(outside)
  writeFileSync(join(outside, 'victim'), 'untouched')
  const links = ['.krun_config.json', '.krun-vm.json', 'krun_config.json', 'etc/hosts', 'etc/hostname', 'etc/resolv.conf', 'etc/mtab']
  const image = await imageMade(
    'handler',
    `mkdir -p proc sys; for n in ${links.join(' ')}; do ln -s ${outside}/victim $n; done; ln -s ${outside} run; ln -s ${outside} dev`,
    { Labels: { 'run.oci.handler': 'krun', 'krun/cpus': '1' } },
  )
  for (const autoRemove of [true, false]) {
    const end = await runToEnd(workshop, image, { command: ['sh', '-c', 'echo ran; echo mine >> /etc/hosts'], autoRemove }).catch(
      (error: Error) => error,
    )
    if (!(end instanceof Error)) assert.equal(end.stdout, 'ran\n')
    if (!(end instanceof Error) && !autoRemove) await workshop.containers.remove(end.id)
  }
  assert.deepEqual(readdirSync(outside), ['victim'])
  assert.equal(readFileSync(join(outside, 'victim'), 'utf8'), 'untouched')
  for (const { id } of await workshop.containers.list({ all: true })) await workshop.containers.remove(id, { force: true })
  assert.deepEqual(remains(workshop), [])
})

test(
  'hostile #66, #67: another user of this machine, and root of a user namespace, see and change nothing of the store',
  { skip },
  async () => {
    await imageMade('setuid', 'cp bin/busybox bin/su; chmod 4755 bin/su; mkdir open; chmod 777 open')
    const { id } = await workshop.containers.run(
      { image: busybox.name, command: ['sleep', '100'], binds: ['theirs:/v'], network: 'none' },
      busybox,
    )
    execFileSync('chmod', ['755', host])
    const places = ['', 'snapshots', 'snapshots/overlay2/1/fs/bin/busybox', 'volumes/theirs/_data', 'meta.db', `containers/${id}`]
    const targets = [...places.map(place => join(workshop.root, place)), workshop.runDirectory, join(workshop.runDirectory, 'c', id)]
    const as = (program: string, args: readonly string[]): string => {
      const { stdout } = spawnSync(program, [...args], { uid: 65534, gid: 65534, encoding: 'utf8' })
      return stdout
    }
    for (const target of targets) {
      const script = `ls ${target}/ ${target}; cat ${target}; touch ${target}/planted; chmod 777 ${target}; chown 65534 ${target}; echo tried >&2`
      assert.equal(as('sh', ['-c', script]), '', target)
      assert.equal(as('unshare', ['--user', '--map-root-user', 'sh', '-c', script]), '', target)
    }
    // All that is ours is root's, and nobody else may write to it; what images and volumes hold lies below.
    const wrong: string[] = []
    const visit = (path: string): void => {
      const { uid, mode } = statSync(path)
      if (uid !== 0 || (mode & 0o022) !== 0) wrong.push(`${path} ${uid} ${(mode & 0o7777).toString(8)}`)
      if (!statSync(path).isDirectory() || /\/(?:fs|_data|rootfs)$/.test(path)) return
      for (const entry of readdirSync(path, { withFileTypes: true }))
        if (!entry.isSymbolicLink() && !entry.isSocket()) visit(join(path, entry.name))
    }
    visit(workshop.root)
    visit(workshop.runDirectory)
    assert.deepEqual(wrong, [])
    await workshop.containers.remove(id, { force: true })
  },
)
