import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { isStrataError } from '../../base/index.ts'
import type { ContainerOptions } from '../../engine/index.ts'
import { readCommandLine } from '../commandLine.ts'
import { CONTAINER_FLAGS } from './containerFlags.ts'
import { type ContainerFlags, readContainerOptions } from './containerOptions.ts'

const ENV = { FROM_HERE: 'here', EMPTY: '' }

async function options(...words: readonly string[]): Promise<ContainerOptions> {
  const line = readCommandLine(CONTAINER_FLAGS, words, true)
  return readContainerOptions(line.values as unknown as ContainerFlags, line.operands, ENV)
}

const MIB = 1024 ** 2

/** Flags of `docker run` before the image `i`, and what they ask for beside it. */
const CASES: readonly (readonly [readonly string[], Partial<ContainerOptions>])[] = [
  [[], {}],
  [['--name', 'c1'], { name: 'c1' }],
  [['-it'], { tty: true, openStdin: true }],
  [['-it', '--tty=false'], { openStdin: true }],
  [['--rm'], { autoRemove: true }],
  [['--rm=false'], {}],
  [['-e', 'A=1', '--env', 'B', '-e', 'FROM_HERE', '-e', 'EMPTY', '-e', 'C='], { env: ['A=1', 'B', 'FROM_HERE=here', 'EMPTY=', 'C='] }],
  [['-w', '/srv', '-u', '1000:1000'], { workingDirectory: '/srv', user: '1000:1000' }],
  [['--group-add', 'wheel', '--group-add', '5'], { groups: ['wheel', '5'] }],
  [['--entrypoint', '/bin/sh'], { entrypoint: ['/bin/sh'] }],
  [['--entrypoint', ''], { entrypoint: [] }],
  [['-h', 'web', '--domainname', 'lan'], { hostname: 'web', domainName: 'lan' }],
  [['--init', '--read-only', '--privileged'], { init: true, readOnly: true, privileged: true }],
  [['-v', '/a:/b'], { binds: ['/a:/b'] }],
  [['-v', '/a:/b:ro', '-v', 'data:/d', '-v', '/anonymous'], { binds: ['/a:/b:ro', 'data:/d', '/anonymous'] }],
  [['-v', './x:/y'], { binds: [`${resolve('x')}:/y`] }],
  [['-v', '.:/y:ro'], { binds: [`${resolve('.')}:/y:ro`] }],
  [['--mount', 'type=bind,source=/a,target=/b,readonly'], { mounts: [{ type: 'bind', source: '/a', target: '/b', readOnly: true }] }],
  [
    ['--mount', 'type=bind,src=a,dst=/b,bind-propagation=rshared'],
    { mounts: [{ type: 'bind', source: resolve('a'), target: '/b', bind: { propagation: 'rshared' } }] },
  ],
  [
    ['--mount', 'src=data,target=/d,volume-nocopy,volume-label=a=b,volume-opt=o=1'],
    { mounts: [{ type: 'volume', source: 'data', target: '/d', volume: { noCopy: true, labels: { a: 'b' }, driverOptions: { o: '1' } } }] },
  ],
  [['--mount', 'target=/d'], { mounts: [{ type: 'volume', target: '/d' }] }],
  [
    ['--mount', 'type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=1770'],
    { mounts: [{ type: 'tmpfs', target: '/t', tmpfs: { sizeBytes: 64 * MIB, mode: 0o1770 } }] },
  ],
  [
    ['--mount', 'type=image,source=debian:12,target=/i,image-subpath=etc'],
    { mounts: [{ type: 'image', source: 'debian:12', target: '/i', image: { subpath: 'etc' } }] },
  ],
  [
    ['--mount', 'type=volume,"source=a,b",target=/d,ro=false'],
    { mounts: [{ type: 'volume', source: 'a,b', target: '/d', readOnly: false }] },
  ],
  [['--tmpfs', '/run', '--tmpfs', '/tmp:size=64m,mode=1777'], { tmpfs: { '/run': '', '/tmp': 'size=64m,mode=1777' } }],
  [['--volumes-from', 'c2:ro', '--volume-driver', 'local'], { volumesFrom: ['c2:ro'], volumeDriver: 'local' }],
  [['--cap-add', 'SYS_ADMIN', '--cap-drop', 'ALL'], { capabilitiesAdded: ['SYS_ADMIN'], capabilitiesDropped: ['ALL'] }],
  [
    ['--security-opt', 'no-new-privileges', '--security-opt', 'seccomp=unconfined'],
    { securityOptions: ['no-new-privileges', 'seccomp=unconfined'] },
  ],
  [
    ['-m', '512m', '--memory-swap', '-1', '--memory-reservation', '256m', '--memory-swappiness', '10'],
    { memoryBytes: 512 * MIB, memorySwapBytes: -1, memoryReservationBytes: 256 * MIB, memorySwappiness: 10 },
  ],
  [['--memory-swappiness', '-1'], {}],
  [
    ['--cpus', '1.5', '-c', '512', '--cpuset-cpus', '0-3', '--cpuset-mems', '0'],
    { cpus: 1.5, cpuShares: 512, cpusetCpus: '0-3', cpusetMems: '0' },
  ],
  [['--cpus=.5', '--cpu-period', '100000', '--cpu-quota', '-1'], { cpus: 0.5, cpuPeriodMicroseconds: 100_000, cpuQuotaMicroseconds: -1 }],
  [
    ['--pids-limit', '100', '--blkio-weight', '0', '--oom-score-adj', '-500', '--oom-kill-disable'],
    { pidsLimit: 100, oomScoreAdjustment: -500, oomKillDisabled: true },
  ],
  [['--pids-limit', '-1', '--blkio-weight', '300'], { pidsLimit: -1, blockIoWeight: 300 }],
  [
    ['--ulimit', 'nofile=1024:2048', '--ulimit', 'core=-1', '--ulimit', 'nproc=unlimited'],
    {
      ulimits: [
        { name: 'nofile', soft: 1024, hard: 2048 },
        { name: 'core', soft: -1, hard: -1 },
        { name: 'nproc', soft: -1, hard: -1 },
      ],
    },
  ],
  [['-l', 'a=b', '--label', 'c', '--annotation', 'd=e'], { labels: { a: 'b', c: '' }, annotations: { d: 'e' } }],
  [['--network', 'host'], { network: 'host' }],
  [['--net', 'container:c2'], { network: 'container:c2' }],
  [['--network=none', '--network-alias', 'x'], { network: 'none', networkAliases: ['x'] }],
  [['--ip', '10.88.0.5', '--mac-address', '92:d0:c6:0a:29:33'], { ipAddress: '10.88.0.5', macAddress: '92:d0:c6:0a:29:33' }],
  [['-p', '8080:80'], { publish: [{ hostAddress: '', hostPort: 8080, containerPort: 80, protocol: 'tcp' }] }],
  [
    ['-p8080:80', '-p', '127.0.0.1::53/udp'],
    {
      publish: [
        { hostAddress: '', hostPort: 8080, containerPort: 80, protocol: 'tcp' },
        { hostAddress: '127.0.0.1', hostPort: 0, containerPort: 53, protocol: 'udp' },
      ],
    },
  ],
  [['-P', '--expose', '80-81', '--expose', '53/udp'], { publishAll: true, expose: ['80/tcp', '81/tcp', '53/udp'] }],
  [['--restart', 'no'], { restart: { policy: 'no' } }],
  [['--restart=always'], { restart: { policy: 'always' } }],
  [['--restart', 'unless-stopped'], { restart: { policy: 'unless-stopped' } }],
  [['--restart', 'on-failure'], { restart: { policy: 'on-failure' } }],
  [['--restart', 'on-failure:5'], { restart: { policy: 'on-failure', maximumRetries: 5 } }],
  [['--rm', '--restart', 'no'], { autoRemove: true, restart: { policy: 'no' } }],
  [['--pull', 'always', '--platform', 'linux/arm64'], { pull: 'always', platform: 'linux/arm64' }],
  [['--stop-signal', 'SIGINT', '--stop-timeout', '3'], { stopSignal: 'SIGINT', stopTimeoutSeconds: 3 }],
  [['-a', 'stdin', '-a', 'STDOUT'], { attach: ['stdin', 'stdout'] }],
  [['--cidfile', '/tmp/cid'], { cidFile: '/tmp/cid' }],
  [
    ['--add-host', 'db:10.0.0.1', '--add-host', 'gw:host-gateway', '--add-host', 'six=[::1]', '--add-host', 'six2:::1'],
    { extraHosts: ['db:10.0.0.1', 'gw:host-gateway', 'six:::1', 'six2:::1'] },
  ],
  [
    ['--dns', '1.1.1.1', '--dns-search', 'lan', '--dns-option', 'ndots:2', '--dns-opt', 'x'],
    { dnsServers: ['1.1.1.1'], dnsSearch: ['lan'], dnsOptions: ['ndots:2', 'x'] },
  ],
  [
    ['--device', '/dev/fuse', '--device', '/dev/sda:/dev/xvda:r', '--device', '/dev/kvm:rw'],
    {
      devices: [
        { hostPath: '/dev/fuse', containerPath: '/dev/fuse', access: 'rwm' },
        { hostPath: '/dev/sda', containerPath: '/dev/xvda', access: 'r' },
        { hostPath: '/dev/kvm', containerPath: '/dev/kvm', access: 'rw' },
      ],
    },
  ],
  [['--device-cgroup-rule', 'c 42:* rwm'], { deviceCgroupRules: ['c 42:* rwm'] }],
  [
    ['--ipc', 'host', '--pid', 'host', '--uts', 'host', '--userns', 'host', '--cgroupns', 'private'],
    { ipc: 'host', pid: 'host', uts: 'host', userNamespace: 'host', cgroupNamespace: 'private' },
  ],
  [
    ['--shm-size', '64m', '--sysctl', 'net.ipv4.ip_forward=1', '--storage-opt', 'size=10g'],
    { shmBytes: 64 * MIB, sysctls: { 'net.ipv4.ip_forward': '1' }, storageOptions: { size: '10g' } },
  ],
  [
    ['--health-cmd', 'true', '--health-interval', '30s', '--health-retries', '3', '--health-timeout', '5s'],
    { healthCheck: { shellCommand: 'true', intervalMs: 30_000, retries: 3, timeoutMs: 5000 } },
  ],
  [['--no-healthcheck'], { healthCheck: { disabled: true } }],
  [['--log-driver', 'none'], { log: { driver: 'none' } }],
  [['--log-opt', 'max-size=10m', '--log-opt', 'x'], { log: { options: { 'max-size': '10m', x: '' } } }],
  [['--runtime', 'runc', '--cgroup-parent', '/a'], { runtime: 'runc', cgroupParent: '/a' }],
  [['--disable-content-trust'], {}],
]

describe('readContainerOptions()', () => {
  for (const [words, expected] of CASES) {
    test(`reads ${words.join(' ') || 'no flags'}`, async () => assert.deepEqual(await options(...words, 'i'), { image: 'i', ...expected }))
  }

  test('leaves what follows the image to the container', async () => {
    assert.deepEqual(await options('-t', 'debian:12', 'sh', '-c', 'echo --rm', '--name'), {
      image: 'debian:12',
      tty: true,
      command: ['sh', '-c', 'echo --rm', '--name'],
    })
  })

  const WRONG: readonly (readonly [readonly string[], RegExp])[] = [
    [['--restart', 'sometimes'], /Cannot use --restart "sometimes": expected no, always/],
    [['--restart', 'always:3'], /"always" has no number of retries/],
    [['--restart', 'on-failure:x'], /number of retries/],
    [['--rm', '--restart', 'always'], /--rm: it cannot be given together with --restart/],
    [['--attach', 'stdnone'], /expected STDIN, STDOUT or STDERR/],
    [['--ulimit', 'foo'], /expected name=soft/],
    [['--ulimit', 'foo=1'], /there is no limit "foo"/],
    [['--ulimit', 'nofile=2:1'], /soft limit is above the hard limit/],
    [['--ulimit', 'nofile=a'], /"a" is not a number/],
    [['--device', 'relative'], /expected \/host\/path/],
    [['--device', '/dev/a:/dev/b:q'], /"q" is not made of r, w and m/],
    [['--mount', 'type=bind,target=/x'], /no source is given/],
    [['--mount', 'type=bind,source=/a'], /no target is given/],
    [['--mount', 'type=disk,target=/x'], /"type" is none of bind, volume, tmpfs, image/],
    [['--mount', 'type=tmpfs,target=/x,volume-nocopy'], /"volume-nocopy" has no meaning for a mount of type tmpfs/],
    [['--mount', 'type=bind,source=/a,target=/x,colour=red'], /there is no key "colour"/],
    [['--mount', 'target=/x,"a'], /a quote is not closed/],
    [['--mount', 'target=/x,ro=perhaps'], /"ro" is neither true nor false/],
    [['--mount', 'type=tmpfs,target=/x,tmpfs-size=big'], /"big" is not a size/],
    [['-p', '99999'], /Cannot publish "99999"/],
    [['--expose', 'x'], /Cannot expose "x"/],
    [['--add-host', 'nothing'], /expected host:ip/],
    [['-e', '=x'], /expected NAME or NAME=value/],
    [['--label', '=x'], /expected key=value/],
    [['--sysctl', '=x'], /expected key=value/],
    [['-v', '~/x:/y'], /left for the shell/],
    [['--no-healthcheck', '--health-cmd', 'x'], /--no-healthcheck: it cannot be given together/],
  ]
  for (const [words, message] of WRONG) {
    test(`refuses ${words.join(' ')}`, async () => {
      await assert.rejects(options(...words, 'i'), (error: unknown) => {
        assert.ok(isStrataError(error, 'invalidArgument'))
        assert.match(error.message, message)
        return true
      })
    })
  }
})

describe('readContainerOptions() with files', () => {
  let directory: string
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'strata-flags-'))
  })
  after(() => rm(directory, { recursive: true }))

  async function file(name: string, text: string): Promise<string> {
    const path = join(directory, name)
    await writeFile(path, text)
    return path
  }

  test('reads --env-file before -e, without comments, and takes names alone from here', async () => {
    const path = await file('env', '\uFEFF# comment\n\nA=1\r\n  B= spaced value \nFROM_HERE\nNOT_HERE\nQUOTED="q"\nE=a=b\n')
    assert.deepEqual((await options('-e', 'A=2', '--env-file', path, 'i')).env, [
      'A=1',
      'B= spaced value ',
      'FROM_HERE=here',
      'QUOTED="q"',
      'E=a=b',
      'A=2',
    ])
  })
  test('reads --label-file before --label', async () => {
    assert.deepEqual(
      (await options('--label-file', await file('labels', 'a=1\nb\n__proto__=x\n'), '-l', 'a=2', 'i')).labels,
      JSON.parse('{"a":"2","b":"","__proto__":"x"}'),
    )
  })
  test('says which file cannot be read', async () => {
    await assert.rejects(options('--env-file', join(directory, 'none'), 'i'), {
      kind: 'notFound',
      message: `Cannot read "${join(directory, 'none')}": no such file or directory`,
    })
  })
  test('does not show the values of a file that is wrong', async () => {
    const path = await file('wrong', 'MY NAME=secret')
    await assert.rejects(
      options('--env-file', path, 'i'),
      (error: unknown) => isStrataError(error) && /white space/.test(error.message) && !error.message.includes('secret'),
    )
  })
})
