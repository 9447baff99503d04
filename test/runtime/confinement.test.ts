import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { openSync, closeSync } from 'node:fs'
import { mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { BundleMount, BundleOptions, ProcessOptions } from '../../src/runtime/index.ts'
import { BusyboxMachine, SKIP } from './busyboxMachine.ts'

describe('a container on crun', { skip: SKIP, timeout: 60_000 }, () => {
  let machine: BusyboxMachine
  before(async () => {
    machine = await BusyboxMachine.open()
  })
  after(() => machine[Symbol.asyncDispose]())

  const shell = (script: string, process: Partial<ProcessOptions> = {}, options: Partial<BundleOptions> = {}): Promise<string> =>
    machine.shell(script, process, options)

  test('has docker’s capabilities, in no inheritable or ambient set', async () => {
    const sets = await shell('grep Cap /proc/self/status')
    assert.match(sets, /CapInh:\s0{16}\nCapPrm:\s00000000a80425fb\nCapEff:\s00000000a80425fb\nCapBnd:\s00000000a80425fb\nCapAmb:\s0{16}/)
    const user = await shell('grep Cap /proc/self/status', { user: { uid: 1000, gid: 1000, additionalGids: [] } })
    assert.match(user, /CapPrm:\s0{16}\nCapEff:\s0{16}\nCapBnd:\s00000000a80425fb/)
  })

  test('hostile #89: file capabilities cannot be raised through an inheritable set', async () => {
    assert.match(await shell('grep CapInh /proc/self/status', { capabilities: { add: ['ALL'] } }), /CapInh:\s0{16}/)
    assert.match(await shell('grep CapInh /proc/self/status', { privileged: true }), /CapInh:\s0{16}/)
  })

  test('hostile #90: a process has the groups that it is given and none of the caller', async () => {
    assert.equal(await shell('grep Groups /proc/self/status'), 'Groups:\t0')
    assert.match(
      await shell('grep Groups /proc/self/status', { user: { uid: 1000, gid: 50, additionalGids: [7, 9] } }),
      /^Groups:\t7 9 50\s*$/,
    )
  })

  test('hostile #84: a process has no descriptor but its stdio, whatever this process has open', async () => {
    const opened = [openSync('/', 'r'), openSync('/etc/passwd', 'r')]
    try {
      const names = await shell(
        'for fd in 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do test -e /proc/1/fd/$fd && echo $fd; done; true',
      )
      assert.equal(names, '')
    } finally {
      for (const fd of opened) closeSync(fd)
    }
  })

  test('hostile #84: a working directory that is a link of the image into /proc does not lead out', async () => {
    for (const fd of [3, 4, 5, 6, 7, 8, 9, 10]) {
      await symlink(`/proc/self/fd/${fd}`, join(machine.rootfs, `srv/fd${fd}`))
      const found = await shell('ls -id . 2>/dev/null; ls ../../../bin/busybox 2>/dev/null', { cwd: `/srv/fd${fd}` }).catch(() => 'refused')
      assert.ok(found === 'refused' || !found.includes(String((await stat('/')).ino)), `fd ${fd}: ${found}`)
    }
  })

  test('hostile #83: the runtime’s own executable cannot be opened for writing from inside', async () => {
    const before = await readFile(machine.runtime.path)
    // A process that execs /proc/self/exe of the runtime gets a read-only copy or mount of it.
    const script =
      'for i in 1 2 3 4 5; do echo x > /proc/1/exe; for pid in /proc/[0-9]*; do echo x > $pid/exe; done; done 2>/dev/null; true'
    await shell(script, { capabilities: { add: ['ALL'] } })
    assert.deepEqual(await readFile(machine.runtime.path), before)
  })

  test('hostile #83: a container whose command is /proc/self/exe does not run the host’s runtime', async () => {
    const before = await readFile(machine.runtime.path)
    await machine.run({ args: ['/proc/self/exe', '--version'] }).catch(() => undefined)
    assert.deepEqual(await readFile(machine.runtime.path), before)
  })

  test('hostile #85: masked paths are empty, and cannot be uncovered', async () => {
    assert.equal(await shell('cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | wc -c'), '0')
    assert.equal(await shell('ls -A /proc/scsi /proc/acpi /sys/firmware 2>/dev/null | grep -v : | grep -c .; true'), '0')
    assert.equal(await shell('umount /proc/kcore 2>&1 || true; cat /proc/kcore | wc -c').then(text => text.split('\n').at(-1)), '0')
  })

  test('hostile #85: a masked path that the image made a link leads nowhere outside', async () => {
    const rootfs = join(machine.directory, 'linked')
    await mkdir(join(rootfs, 'dev'), { recursive: true })
    execFileSync('cp', ['-a', join(machine.rootfs, 'bin'), rootfs])
    await symlink('/etc', join(rootfs, 'proc'))
    await symlink('../../../../../../etc', join(rootfs, 'sys'))
    const before = await readFile('/etc/passwd', 'utf8')
    await shell('ls /proc /sys', {}, { rootfs }).catch(() => undefined)
    assert.equal(await readFile('/etc/passwd', 'utf8'), before)
    assert.ok(!(await readFile('/proc/self/mountinfo', 'utf8')).includes('linked'))
  })

  test('hostile #86: a mount target that is a link of the image is resolved inside', async () => {
    const marker = join(machine.directory, 'marker')
    await mkdir(marker)
    await writeFile(join(marker, 'file'), 'bound')
    await symlink('/', join(machine.rootfs, 'srv/up'))
    await symlink('../../../../../../../tmp', join(machine.rootfs, 'srv/out'))
    for (const target of ['/srv/up/tmp/deep', '/srv/out/deep']) {
      const mounts: BundleMount[] = [{ kind: 'bind', source: marker, target }]
      assert.equal(await shell(`cat ${target}/file`, {}, { mounts }), 'bound')
    }
    await assert.rejects(stat('/tmp/deep'), { code: 'ENOENT' })
  })

  test('/proc/sys and its like are read-only, and so is /sys', async () => {
    const refused = await shell(
      'for f in /proc/sys/kernel/hostname /proc/sysrq-trigger /proc/irq/default_smp_affinity /sys/kernel/uevent_seqnum; do (echo 1 > $f) 2>/dev/null && echo wrote $f; done; true',
    )
    assert.equal(refused, '')
  })

  test('cannot make or read devices that it was not given', async () => {
    const { stdout } = await machine.run({
      args: [
        'sh',
        '-c',
        'busybox mknod /tmp/disk b 254 0 && dd if=/tmp/disk bs=1 count=1 2>&1 | head -1; for d in null zero random tty ptmx; do test -c /dev/$d && echo $d; done',
      ],
    })
    assert.match(stdout, /not permitted|No such device/i)
    assert.match(stdout, /null\nzero\nrandom\ntty\nptmx\n$/)
  })

  test('gets a device that it was given, with the access that was given', async t => {
    const device = { type: 'c', path: '/dev/other-zero', major: 1, minor: 5, fileMode: 0o600, uid: 0, gid: 0 } as const
    assert.equal(await shell('dd if=/dev/other-zero bs=4 count=1 2>/dev/null | wc -c', {}, { devices: [{ device, access: 'r' }] }), '4')
    if (machine.facts.cgroups.layout === 'none') t.diagnostic('no device rules without control groups')
  })

  test('a read-only root file system is read-only, and what is mounted over it is not', async () => {
    const script = 'touch /srv/x 2>/dev/null && echo wrote; touch /run/x /dev/shm/x && echo ok'
    await mkdir(join(machine.rootfs, 'run'), { recursive: true })
    assert.equal(await shell(script, {}, { readonlyRootfs: true, mounts: [{ kind: 'tmpfs', target: '/run' }] }), 'ok')
  })

  test('a read-only bind is read-only, also what is mounted below its source', async () => {
    const source = join(machine.directory, 'volume')
    await mkdir(join(source, 'inner'), { recursive: true })
    execFileSync('mount', ['-t', 'tmpfs', 'none', join(source, 'inner')])
    try {
      const mounts: BundleMount[] = [{ kind: 'bind', source, target: '/srv/volume', readonly: true }]
      assert.equal(await shell('for d in . inner; do touch /srv/volume/$d/x 2>/dev/null && echo wrote $d; done; true', {}, { mounts }), '')
      assert.equal(
        await shell('touch /srv/volume/inner/x && echo wrote', {}, { mounts: [{ kind: 'bind', source, target: '/srv/volume' }] }),
        'wrote',
      )
    } finally {
      execFileSync('umount', [join(source, 'inner')])
    }
  })

  test('the options of a tmpfs hold', async () => {
    const mounts: BundleMount[] = [{ kind: 'tmpfs', target: '/srv/t', options: ['size=64k', 'mode=1770'] }]
    const text = await shell(
      'grep /srv/t /proc/self/mountinfo; stat -c %a /srv/t; dd if=/dev/zero of=/srv/t/x bs=1k count=100 2>/dev/null || echo full',
      {},
      { mounts },
    )
    assert.match(text, /nosuid,nodev,noexec/)
    assert.match(text, /\n1770\nfull$/)
  })

  test('/dev/shm has the size that is asked for', async () => {
    assert.match(await shell('grep /dev/shm /proc/self/mountinfo', {}, { shmBytes: 1024 * 1024 }), /size=1024k/)
  })

  test('no-new-privileges and sysctls arrive', async () => {
    assert.match(await shell('grep NoNewPrivs /proc/self/status', { noNewPrivileges: true }), /1$/)
    assert.match(await shell('grep NoNewPrivs /proc/self/status'), /0$/)
    assert.equal(await shell('cat /proc/sys/net/core/somaxconn', {}, { sysctls: { 'net.core.somaxconn': '99' } }), '99')
    assert.equal(await shell('cat /proc/sys/net/ipv4/ip_unprivileged_port_start'), '0')
  })

  test('namespaces are its own, or the host’s, or another one by its path', async () => {
    const own = async (kind: string): Promise<string> => execFileSync('readlink', [`/proc/self/ns/${kind}`], { encoding: 'utf8' }).trim()
    const inside = (kind: string, options: Partial<BundleOptions> = {}): Promise<string> =>
      shell(`busybox readlink /proc/self/ns/${kind}`, {}, options)
    for (const kind of ['net', 'pid', 'ipc', 'uts', 'mnt']) assert.notEqual(await inside(kind), await own(kind), kind)
    assert.equal(await inside('net', { namespaces: { network: 'host' } }), await own('net'))
    assert.equal(await inside('pid', { namespaces: { pid: 'host' } }), await own('pid'))
    assert.equal(await inside('ipc', { namespaces: { ipc: 'host' } }), await own('ipc'))
    assert.equal(await inside('uts', { namespaces: { uts: 'host' } }), await own('uts'))
    const { id, pid, attachment } = await machine.start({ args: ['sleep', '60'] })
    attachment.close()
    const theirs = execFileSync('readlink', [`/proc/${pid}/ns/net`], { encoding: 'utf8' }).trim()
    assert.equal(await inside('net', { namespaces: { network: { path: `/proc/${pid}/ns/net` } } }), theirs)
    await machine.runtime.delete(id, { force: true })
  })

  test('a privileged container may mount, and sees everything', async () => {
    assert.equal(
      await shell('mount -t tmpfs none /srv && echo mounted; grep Seccomp: /proc/self/status; ls /sys/firmware | wc -l', {
        privileged: true,
      }).then(text => text.split('\n')[0]),
      'mounted',
    )
    assert.match(await shell('grep Seccomp: /proc/self/status', { privileged: true }), /0$/)
    await assert.rejects(shell('mount -t tmpfs none /srv'))
  })
})
