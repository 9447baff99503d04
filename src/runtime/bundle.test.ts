import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Ajv } from 'ajv'
import * as fc from 'fast-check'
import { formatSpec, planBundle, writeBundle } from './bundle.ts'
import type { BundleOptions, ProcessOptions, RuntimeFacts } from './bundleOptions.ts'
import { capabilitiesOf } from './capabilities.ts'
import type { RuntimeSpec } from './runtimeSpec.ts'

/** The runtime-spec's schemas, which are no part of this repository. */
const SCHEMAS = join(import.meta.dirname, '../../../shared/specs/runtime')

const FACTS: RuntimeFacts = {
  architecture: 'amd64',
  kernelRelease: '6.18.44',
  processors: 4,
  cgroups: { layout: 'v2', controllers: ['cpu', 'cpuset', 'io', 'memory', 'pids'], swapLimit: true },
  capabilities: capabilitiesOf(2n ** 41n - 1n),
  hardLimits: { RLIMIT_NOFILE: 20_000, RLIMIT_NPROC: 5000 },
  seccomp: true,
  devices: [{ type: 'c', path: '/dev/fuse', major: 10, minor: 229, fileMode: 0o666, uid: 0, gid: 0 }],
}

const WITHOUT_RESOURCE: RuntimeFacts = { ...FACTS, capabilities: FACTS.capabilities.filter(name => name !== 'CAP_SYS_RESOURCE') }

function plan(options: Partial<BundleOptions> = {}, process: Partial<ProcessOptions> = {}, facts = FACTS): RuntimeSpec {
  return planBundle({ id: 'c1', rootfs: '/r', ...options, process: { args: ['sh'], ...process } }, facts).spec
}

function mountAt(spec: RuntimeSpec, destination: string): RuntimeSpec['mounts'][number] | undefined {
  return spec.mounts.find(mount => mount.destination === destination)
}

function refuses(options: Partial<BundleOptions>, process: Partial<ProcessOptions>, code: string): void {
  assert.throws(() => plan(options, process), { code })
}

/** The runtime-spec's own schemas, where they are on this machine. */
function validator(): ((value: unknown) => string) | undefined {
  let names: string[]
  try {
    names = readdirSync(SCHEMAS)
  } catch {
    return undefined
  }
  const ajv = new Ajv({ strict: false, logger: false })
  for (const name of names.filter(each => each.endsWith('.json'))) {
    const { $schema: _draft4, id: _, ...schema } = JSON.parse(readFileSync(join(SCHEMAS, name), 'utf8')) as Record<string, unknown>
    ajv.addSchema({ ...schema, $id: name })
  }
  const check = ajv.getSchema('config-schema.json')
  assert.ok(check !== undefined)
  return value => (check(value) === true ? '' : ajv.errorsText(check.errors))
}

const EVERYTHING: Partial<BundleOptions> = {
  readonlyRootfs: true,
  hostname: 'box',
  domainname: 'example.org',
  mounts: [
    { kind: 'bind', source: '/srv/data', target: '/data', readonly: true },
    { kind: 'bind', source: '/srv', target: '/data/more', propagation: 'rshared' },
    { kind: 'tmpfs', target: '/run', options: ['size=64m', 'exec'] },
  ],
  namespaces: { network: { path: '/run/netns/x' }, pid: 'host', ipc: { path: '/proc/1/ns/ipc' } },
  devices: [{ device: { type: 'c', path: '/dev/fuse', major: 10, minor: 229 }, access: 'rw' }],
  deviceRules: [{ allow: true, type: 'b', major: 8, access: 'r' }],
  resources: {
    memoryBytes: 64 * 1024 * 1024,
    memoryReservationBytes: 32 * 1024 * 1024,
    cpus: 1.5,
    cpuShares: 512,
    cpusetCpus: '0-1',
    cpusetMems: '0',
    pidsLimit: 100,
    blkioWeight: 300,
  },
  sysctls: { 'net.core.somaxconn': '1024' },
  shmBytes: 1024 * 1024,
  initProgram: '/usr/bin/tini-static',
  annotations: { 'org.example': 'x' },
}

test('planBundle() makes what the schemas of the runtime-spec describe', t => {
  const check = validator()
  if (check === undefined) return t.skip('the schemas are not on this machine')
  const specs = [
    plan(),
    plan(EVERYTHING, {
      terminal: true,
      consoleSize: { height: 24, width: 80 },
      ulimits: [{ name: 'core', soft: -1, hard: -1 }],
      oomScoreAdj: 500,
    }),
    plan({}, { privileged: true }),
    plan({ seccomp: 'unconfined' }, {}, { ...FACTS, cgroups: { layout: 'none', controllers: [], swapLimit: false } }),
    plan(
      { namespaces: { network: 'host', ipc: 'host', uts: 'host' } },
      { user: { uid: 1000, gid: 1000, additionalGids: [4], umask: 0o77 } },
    ),
  ]
  for (const spec of specs) assert.equal(check(JSON.parse(formatSpec(spec))), '')
  assert.notEqual(check({ ...plan(), linux: { ...plan().linux, namespaces: [{ type: 'bogus' }] } }), '', 'the schemas are obeyed at all')
})

test('planBundle() is pure: the same options give the same bundle', () => {
  assert.deepEqual(plan(EVERYTHING), plan(EVERYTHING))
})

test("planBundle() has docker's defaults", () => {
  const spec = plan({ hostname: 'box' })
  const kept = 'CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE SETFCAP'
  assert.deepEqual(
    [...spec.process.capabilities.bounding].toSorted(),
    kept
      .split(' ')
      .map(name => `CAP_${name}`)
      .toSorted(),
  )
  assert.deepEqual(spec.process.env, ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'HOSTNAME=box'])
  assert.equal(spec.process.noNewPrivileges, false)
  assert.equal(spec.process.cwd, '/')
  assert.deepEqual(spec.process.rlimits, [{ type: 'RLIMIT_NOFILE', soft: 1024, hard: 524_288 }])
  assert.deepEqual(
    spec.mounts.map(mount => mount.destination),
    ['/proc', '/dev', '/dev/pts', '/sys', '/sys/fs/cgroup', '/dev/mqueue', '/dev/shm'],
  )
  assert.ok(mountAt(spec, '/sys')?.options?.includes('ro'))
  assert.ok(mountAt(spec, '/sys/fs/cgroup')?.options?.includes('ro'))
  assert.ok(mountAt(spec, '/dev/shm')?.options?.includes('size=67108864'))
  for (const path of ['/proc/kcore', '/proc/keys', '/proc/timer_list', '/proc/scsi', '/sys/firmware'])
    assert.ok(spec.linux.maskedPaths.includes(path), path)
  assert.deepEqual(spec.linux.readonlyPaths, ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'])
  assert.deepEqual(
    spec.linux.namespaces.map(({ type }) => type),
    ['mount', 'network', 'pid', 'ipc', 'uts', 'cgroup'],
  )
  assert.equal(spec.linux.cgroupsPath, '/strata/c1')
  assert.deepEqual(spec.linux.resources.devices?.[0], { allow: false, access: 'rwm' })
  assert.equal(spec.linux.seccomp?.defaultAction, 'SCMP_ACT_ERRNO')
})

test('planBundle() gives a privileged container everything that this process has, and nothing is hidden', () => {
  const spec = plan({}, { privileged: true }, WITHOUT_RESOURCE)
  assert.deepEqual(spec.process.capabilities.bounding, WITHOUT_RESOURCE.capabilities)
  assert.deepEqual([spec.linux.maskedPaths, spec.linux.readonlyPaths], [[], []])
  assert.equal(spec.linux.seccomp, undefined)
  assert.equal(spec.annotations, undefined)
  assert.deepEqual(spec.linux.resources.devices, [{ allow: true, access: 'rwm' }])
  assert.deepEqual(spec.linux.devices, FACTS.devices)
  assert.ok(mountAt(spec, '/sys')?.options?.includes('rw'))
})

test('planBundle() lets a mount of the user take the place of its own, and mounts parents before children', () => {
  const spec = plan({
    mounts: [
      { kind: 'bind', source: '/a', target: '/srv/deep/er' },
      { kind: 'bind', source: '/b', target: '/srv/' },
      { kind: 'bind', source: '/c', target: '/dev/shm' },
      { kind: 'tmpfs', target: '/srv/deep', options: ['exec', 'size=1m'] },
    ],
  })
  assert.deepEqual(
    spec.mounts.slice(-4).map(mount => mount.destination),
    ['/srv', '/dev/shm', '/srv/deep', '/srv/deep/er'],
  )
  assert.equal(spec.mounts.filter(mount => mount.destination === '/dev/shm').length, 1)
  assert.deepEqual(mountAt(spec, '/srv/deep')?.options, ['nosuid', 'nodev', 'exec', 'size=1m'])
  const dev = plan({ mounts: [{ kind: 'bind', source: '/dev', target: '/dev' }] })
  assert.deepEqual(
    dev.mounts.filter(mount => mount.destination.startsWith('/dev')).map(mount => mount.source),
    ['/dev'],
  )
})

test('planBundle() makes a read-only bind read-only below too, where the kernel can', () => {
  const mounts = [{ kind: 'bind', source: '/a', target: '/a', readonly: true }] as const
  assert.deepEqual(mountAt(plan({ mounts }), '/a')?.options, ['rbind', 'ro', 'rro', 'rprivate'])
  assert.deepEqual(mountAt(plan({ mounts }, {}, { ...FACTS, kernelRelease: '5.10.0-30-amd64' }), '/a')?.options, [
    'rbind',
    'ro',
    'rprivate',
  ])
})

test('planBundle() passes on what a shared or slave bind asks of the root', () => {
  const bind = (propagation: 'rshared' | 'slave'): RuntimeSpec =>
    plan({ mounts: [{ kind: 'bind', source: '/a', target: '/a', propagation }] })
  assert.equal(bind('rshared').linux.rootfsPropagation, 'shared')
  assert.equal(bind('slave').linux.rootfsPropagation, 'slave')
  assert.equal(plan().linux.rootfsPropagation, undefined)
})

test('planBundle() runs an init program in front of the command', () => {
  const spec = plan({ initProgram: '/usr/bin/tini-static' }, { args: ['sleep', '1'] })
  assert.deepEqual(spec.process.args, ['/sbin/docker-init', '--', 'sleep', '1'])
  assert.equal(mountAt(spec, '/sbin/docker-init')?.source, '/usr/bin/tini-static')
})

test('planBundle() leaves out what this machine cannot do, and says it', () => {
  const facts: RuntimeFacts = { ...WITHOUT_RESOURCE, cgroups: { layout: 'v1', controllers: ['memory'], swapLimit: false }, seccomp: false }
  const { spec, warnings } = planBundle(
    {
      id: 'c1',
      rootfs: '/r',
      process: { args: ['sh'], ulimits: [{ name: 'nofile', soft: 100_000, hard: 100_000 }], capabilities: { add: ['SYS_RESOURCE'] } },
      resources: { memoryBytes: 64 * 1024 * 1024, cpus: 1, pidsLimit: 10 },
    },
    facts,
  )
  assert.deepEqual(spec.process.rlimits, [{ type: 'RLIMIT_NOFILE', soft: 20_000, hard: 20_000 }])
  assert.deepEqual(spec.linux.resources.memory, { limit: 64 * 1024 * 1024 })
  assert.deepEqual([spec.linux.resources.cpu, spec.linux.resources.pids, spec.linux.seccomp], [undefined, undefined, undefined])
  for (const word of ['nofile', 'CAP_SYS_RESOURCE', 'swap', 'CPU', 'pids', 'seccomp']) {
    assert.equal(warnings.filter(warning => warning.includes(word)).length, 1, `${word} in ${warnings.join('\n')}`)
  }
})

test('planBundle() lowers its own limit of open files silently: nobody asked for it', () => {
  const { spec, warnings } = planBundle({ id: 'c1', rootfs: '/r', process: { args: ['sh'] } }, WITHOUT_RESOURCE)
  assert.deepEqual(spec.process.rlimits, [{ type: 'RLIMIT_NOFILE', soft: 1024, hard: 20_000 }])
  assert.deepEqual(warnings, [])
})

test('formatSpec() writes an unlimited ulimit as the 64-bit integer that it is', () => {
  const spec = plan({}, { ulimits: [{ name: 'core', soft: 0, hard: -1 }] })
  assert.match(formatSpec(spec), /"type":"RLIMIT_CORE","soft":0,"hard":18446744073709551615\}/)
})

test('writeBundle() lets only the owner read the environment', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'strata-bundle-'))
  try {
    await writeBundle(join(directory, 'b'), plan())
    assert.equal((await stat(join(directory, 'b/config.json'))).mode & 0o777, 0o600)
    assert.deepEqual(JSON.parse(await readFile(join(directory, 'b/config.json'), 'utf8')), JSON.parse(formatSpec(plan())))
  } finally {
    await rm(directory, { recursive: true })
  }
})

test('planBundle() adds and drops capabilities as docker does', () => {
  const bounding = (add: string[], drop: string[]): readonly string[] =>
    plan({}, { capabilities: { add, drop } }).process.capabilities.bounding
  assert.ok(bounding(['net_admin'], []).includes('CAP_NET_ADMIN'))
  assert.ok(!bounding([], ['CAP_KILL']).includes('CAP_KILL'))
  assert.deepEqual(bounding(['KILL'], ['ALL']), ['CAP_KILL'])
  assert.equal(bounding(['ALL'], ['MKNOD']).length, 40)
  refuses({}, { capabilities: { add: ['FLY'] } }, 'STRATA_UNKNOWN_CAPABILITY')
})

test('planBundle() refuses kernel parameters that are not the container’s own', () => {
  refuses({ sysctls: { 'vm.swappiness': '1' } }, {}, 'STRATA_INVALID_SYSCTL')
  refuses({ sysctls: { 'kernel.core_pattern': '|/x' } }, {}, 'STRATA_INVALID_SYSCTL')
  refuses({ sysctls: { 'net/../kernel/core_pattern': '|/x' } }, {}, 'STRATA_INVALID_SYSCTL')
  refuses({ sysctls: { 'net.core.somaxconn': '1' }, namespaces: { network: 'host' } }, {}, 'STRATA_INVALID_SYSCTL')
  refuses({ sysctls: { 'kernel.shmmax': '1' }, namespaces: { ipc: 'host' } }, {}, 'STRATA_INVALID_SYSCTL')
  assert.equal(plan({ sysctls: { 'kernel.shmmax': '1' } }).linux.sysctl?.['kernel.shmmax'], '1')
  assert.deepEqual(plan({ namespaces: { network: 'host' } }).linux.sysctl, {})
})

test('planBundle() refuses commands, environments and limits that make no sense', () => {
  refuses({}, { args: [] }, 'STRATA_NO_COMMAND')
  refuses({}, { args: ['a\0b'] }, 'STRATA_NUL_BYTE')
  refuses({}, { env: ['=x'] }, 'STRATA_INVALID_ENV')
  refuses({}, { ulimits: [{ name: 'nofile', soft: 10, hard: 5 }] }, 'STRATA_INVALID_ULIMIT')
  refuses({}, { ulimits: [{ name: 'bogus', soft: 1, hard: 1 }] }, 'STRATA_UNKNOWN_ULIMIT')
  refuses({}, { oomScoreAdj: 2000 }, 'STRATA_INVALID_OOM_SCORE')
  refuses({ hostname: 'x'.repeat(65) }, {}, 'STRATA_INVALID_BUNDLE')
  refuses({ resources: { memoryBytes: 4096 } }, {}, 'STRATA_INVALID_LIMIT')
  refuses({ resources: { memorySwapBytes: 10_000_000 } }, {}, 'STRATA_INVALID_LIMIT')
  refuses({ resources: { cpus: 64 } }, {}, 'STRATA_INVALID_LIMIT')
  refuses({ resources: { cpus: 1, cpuQuotaUs: 5000 } }, {}, 'STRATA_INVALID_LIMIT')
})

test('an error about an environment variable does not show its value', () => {
  assert.throws(
    () => plan({}, { env: ['TOKEN=secr\0et'] }),
    (error: Error) => !error.message.includes('secr'),
  )
})

test('hostile #84: a working directory that belongs to a process is refused, however it is spelled', () => {
  for (const cwd of [
    '/proc/self/fd/7',
    '/proc/self/fd/../fd/7',
    '//proc//self/fd',
    '/proc/1/root',
    '/proc/thread-self/cwd',
    '/dev/fd/9',
    '/x/../proc/42/fd/3',
    'proc/self/fd/7',
    '',
  ]) {
    refuses({}, { cwd }, 'STRATA_INVALID_CWD')
  }
  assert.equal(plan({}, { cwd: '/proc' }).process.cwd, '/proc')
  assert.equal(plan({}, { cwd: '/srv//x/' }).process.cwd, '/srv/x')
})

test('hostile #86: nothing is mounted on or below /proc, nor on the root', () => {
  for (const target of ['/proc', '/proc/sys', '/x/../proc/self', '/proc/', '/', 'relative', '/a\0']) {
    refuses({ mounts: [{ kind: 'bind', source: '/a', target }] }, {}, 'STRATA_INVALID_MOUNT')
    refuses({ mounts: [{ kind: 'tmpfs', target }] }, {}, 'STRATA_INVALID_MOUNT')
  }
  assert.ok(mountAt(plan({ mounts: [{ kind: 'bind', source: '/a', target: '/proc/meminfo' }] }), '/proc/meminfo'))
})

test('hostile #89: no capability is inheritable or ambient, whatever is asked for', () => {
  const words = fc.array(fc.constantFrom('ALL', 'SYS_ADMIN', 'kill', 'CAP_CHOWN'), { maxLength: 3 })
  fc.assert(
    fc.property(words, words, fc.boolean(), fc.constantFrom(0, 1000), (add, drop, privileged, uid) => {
      const { capabilities } = plan({}, { capabilities: { add, drop }, privileged, user: { uid, gid: 0, additionalGids: [] } }).process
      assert.deepEqual([capabilities.inheritable, capabilities.ambient], [[], []])
      assert.deepEqual(capabilities.effective, uid === 0 ? capabilities.bounding : [])
    }),
  )
})

test('hostile #90: the supplementary groups are always said, with the primary group among them', () => {
  assert.deepEqual(plan().process.user, { uid: 0, gid: 0, additionalGids: [0] })
  assert.deepEqual(plan({}, { user: { uid: 1, gid: 50, additionalGids: [7, 50] } }).process.user.additionalGids, [50, 7])
})

test('hostile #91: ids that would wrap around are refused', () => {
  for (const id of [2 ** 31, 2 ** 32, -1, 0.5, Number.NaN]) {
    refuses({}, { user: { uid: id, gid: 0, additionalGids: [] } }, 'STRATA_ID_OUT_OF_RANGE')
    refuses({}, { user: { uid: 0, gid: id, additionalGids: [] } }, 'STRATA_ID_OUT_OF_RANGE')
    refuses({}, { user: { uid: 0, gid: 0, additionalGids: [id] } }, 'STRATA_ID_OUT_OF_RANGE')
  }
})

test('hostile #92: a bundle has no annotation but the engine’s own filter, so no label can steer a runtime', () => {
  assert.deepEqual(Object.keys(plan().annotations ?? {}), ['run.oci.seccomp_bpf_data'])
  assert.equal(plan({ annotations: { 'run.oci.seccomp_bpf_data': 'AAAA' } }).annotations?.['run.oci.seccomp_bpf_data'] === 'AAAA', false)
})

test('hostile #97: an enormous processor list is refused before anybody counts it', () => {
  for (const cpusetCpus of ['0-4294967295', '0-9999', `0${',1'.repeat(40_000)}`, '1-0', 'a', '0,', '0--1']) {
    refuses({ resources: { cpusetCpus } }, {}, 'STRATA_INVALID_LIMIT')
  }
})
