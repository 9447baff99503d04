import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { findProgram } from '../../src/base/index.ts'
import type { ContainerImage, ContainerOptions } from '../../src/container/index.ts'
import { openWorkshop, runToEnd, Sink, whyNot, type Workshop } from './workshop.ts'

const skip = await whyNot()
let workshop: Workshop
let busybox: ContainerImage

before(async () => {
  if (skip !== false) return
  workshop = await openWorkshop()
  busybox = await workshop.busybox()
})

after(async () => {
  if (skip !== false) return
  await workshop[Symbol.asyncDispose]()
})

const sh = (script: string, options: Partial<ContainerOptions> = {}): Omit<ContainerOptions, 'image'> => ({
  command: ['sh', '-c', script],
  autoRemove: true,
  ...options,
})

test('a container in the namespaces of another one has its network, processes, IPC, host name and names', { skip }, async () => {
  const { id } = await workshop.containers.run(
    {
      image: busybox.name,
      name: 'first',
      network: 'none',
      ipc: 'shareable',
      hostname: 'the-first',
      extraHosts: ['friend:192.0.2.7'],
      command: ['sleep', '1000'],
    },
    busybox,
  )
  const look = 'for kind in net ipc pid; do readlink /proc/self/ns/$kind; done'
  const { stdout: first } = await execOutput(id, look)
  const joined = { network: 'container:first', ipc: 'container:first', pid: 'container:first' }
  const { stdout: second } = await runToEnd(workshop, busybox, sh(look, joined))
  assert.equal(second, first)
  const names = 'hostname; cat /etc/hostname; grep friend /etc/hosts'
  const seen = await runToEnd(workshop, busybox, sh(names, { network: 'container:first' }))
  assert.equal(seen.stdout, 'the-first\nthe-first\n192.0.2.7\tfriend\n')

  // Also through one more container, and by what `inspect` says of it.
  const middle = await workshop.containers.run({ image: busybox.name, network: 'container:first', command: ['sleep', '1000'] }, busybox)
  const far = await runToEnd(workshop, busybox, sh(names, { network: `container:${middle.id}` }))
  assert.equal(far.stdout, seen.stdout)
  const [{ HostsPath: mine }, { HostsPath: theirs }] = [await workshop.containers.inspect(middle.id), await workshop.containers.inspect(id)]
  assert.equal(mine, theirs)
  await workshop.containers.remove(middle.id, { force: true })
  await workshop.containers.remove(id, { force: true })
  await assert.rejects(runToEnd(workshop, busybox, sh(':', joined)), { code: 'STRATA_NO_SUCH_CONTAINER' })
})

async function execOutput(id: string, script: string): Promise<{ readonly stdout: string }> {
  const stdout = new Sink()
  const { ended } = await workshop.containers.exec(id, { command: ['sh', '-c', script] }, { stdout })
  await ended
  return { stdout: stdout.text }
}

test('create() refuses what a container in the network of another one cannot have of its own', { skip }, async () => {
  const { id } = await workshop.containers.create({ image: busybox.name, network: 'none' }, busybox)
  const network = `container:${id}`
  const port = { hostAddress: '', hostPort: 1, containerPort: 1, protocol: 'tcp' } as const
  const wrong: readonly Partial<ContainerOptions>[] = [
    { network, hostname: 'x' },
    { network, publish: [port] },
    { network, publishAll: true },
    { network, expose: ['80/tcp'] },
    { network, dnsServers: ['192.0.2.1'] },
    { network, extraHosts: ['a:192.0.2.1'] },
    { network, macAddress: '02:42:00:00:00:01' },
    { network: 'none', uts: 'host', hostname: 'x' },
  ]
  for (const options of wrong) {
    await assert.rejects(workshop.containers.create({ image: busybox.name, ...options }, busybox), {
      code: 'STRATA_CONFLICTING_OPTIONS',
    })
  }
  const { id: hosted, warnings } = await workshop.containers.create({ image: busybox.name, network: 'host', publish: [port] }, busybox)
  assert.deepEqual(warnings, ['Published ports are discarded when using host network mode'])
  for (const each of [id, hosted]) await workshop.containers.remove(each)
})

const withoutInit = skip !== false ? skip : (await findProgram('catatonit')) === undefined ? 'catatonit is not installed' : false

test('an init program is process 1, passes signals on, reaps, and is no part of the layer', { skip: withoutInit }, async () => {
  // The shell leaves an orphan that ends: only an init takes it away.
  const script = '(sleep 0.1 & ); sleep 0.5; ps -o pid,stat,comm; trap "exit 9" TERM; kill -TERM $$; sleep 5'
  const finished = await runToEnd(workshop, busybox, sh(script, { init: true, autoRemove: false }))
  assert.match(finished.stdout, /^ +1 S\w* +docker-init$/m)
  assert.doesNotMatch(finished.stdout, / Z /)
  assert.equal(finished.exitCode, 9)
  assert.deepEqual(await workshop.containers.diff(finished.id), [])
  await workshop.containers.remove(finished.id)
})

test('privileged is all capabilities, all devices, and nothing masked or read-only', { skip }, async () => {
  const script = [
    'grep -E "^(CapEff|Seccomp|NoNewPrivs):" /proc/self/status',
    'mkdir /m && mount -t tmpfs x /m && echo mounted',
    'grep -cE " /(proc/|sys |sys/firmware)[^ ]* [^ ]+ ro," /proc/mounts',
    'ls /dev | wc -l',
  ].join('; ')
  const all = await runToEnd(workshop, busybox, sh(script, { privileged: true }))
  const [capabilities = '', privileges, seccomp, mounted, readOnly, devices] = all.stdout.split('\n')
  const bounding = /^CapBnd:\t([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
  assert.equal(capabilities, `CapEff:\t${bounding ?? ''}`)
  assert.deepEqual([privileges, seccomp, mounted, readOnly], ['NoNewPrivs:\t0', 'Seccomp:\t0', 'mounted', '0'])
  const plain = await runToEnd(workshop, busybox, sh(script))
  assert.match(plain.stdout, /^CapEff:\t00000000a80425fb\nNoNewPrivs:\t0\nSeccomp:\t2\n[1-9]/)
  assert.ok(Number(devices) > Number(plain.stdout.trim().split('\n').at(-1)))
})

test('a device of the host is there by the name and with the rights that are asked for', { skip }, async () => {
  const device = { hostPath: '/dev/zero', containerPath: '/dev/nothing', access: 'r' }
  const finished = await runToEnd(workshop, busybox, sh('head -c 3 /dev/nothing | wc -c; ls -l /dev/nothing', { devices: [device] }))
  assert.match(finished.stdout, /^3\ncrw.* 1, +5 .*\/dev\/nothing\n$/)
  await assert.rejects(runToEnd(workshop, busybox, sh(':', { devices: [{ ...device, hostPath: '/dev/no-such-device' }] })), {
    code: 'STRATA_ENOENT',
  })
})
