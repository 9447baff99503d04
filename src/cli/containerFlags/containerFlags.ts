import { bytes, decimal, duration, flag, integer, list, oneOf, optionalFlag, type OptionSpec, text } from '../options.ts'

const CGROUP_NAMESPACES = ['private', 'host', ''] as const
const PULL_POLICIES = ['always', 'missing', 'never'] as const

type Flag =
  | 'disable-content-trust'
  | 'init'
  | 'interactive'
  | 'no-healthcheck'
  | 'oom-kill-disable'
  | 'privileged'
  | 'publish-all'
  | 'quiet'
  | 'read-only'
  | 'rm'
  | 'tty'
type Text =
  | 'cgroup-parent'
  | 'cidfile'
  | 'cpuset-cpus'
  | 'cpuset-mems'
  | 'domainname'
  | 'entrypoint'
  | 'health-cmd'
  | 'hostname'
  | 'ip'
  | 'ip6'
  | 'ipc'
  | 'log-driver'
  | 'mac-address'
  | 'name'
  | 'net'
  | 'network'
  | 'pid'
  | 'platform'
  | 'restart'
  | 'runtime'
  | 'stop-signal'
  | 'user'
  | 'userns'
  | 'uts'
  | 'volume-driver'
  | 'workdir'
type List =
  | 'add-host'
  | 'annotation'
  | 'attach'
  | 'cap-add'
  | 'cap-drop'
  | 'device'
  | 'device-cgroup-rule'
  | 'dns'
  | 'dns-option'
  | 'dns-opt'
  | 'dns-search'
  | 'env'
  | 'env-file'
  | 'expose'
  | 'group-add'
  | 'label'
  | 'label-file'
  | 'log-opt'
  | 'mount'
  | 'network-alias'
  | 'net-alias'
  | 'publish'
  | 'security-opt'
  | 'storage-opt'
  | 'sysctl'
  | 'tmpfs'
  | 'ulimit'
  | 'volume'
  | 'volumes-from'
/** Numbers, sizes in bytes and durations in milliseconds. */
type Numeric =
  | 'blkio-weight'
  | 'cpu-period'
  | 'cpu-quota'
  | 'cpu-rt-period'
  | 'cpu-rt-runtime'
  | 'cpu-shares'
  | 'health-retries'
  | 'memory-swappiness'
  | 'oom-score-adj'
  | 'pids-limit'
  | 'stop-timeout'
  | 'memory'
  | 'memory-reservation'
  | 'memory-swap'
  | 'shm-size'
  | 'cpus'
  | 'health-interval'
  | 'health-start-interval'
  | 'health-start-period'
  | 'health-timeout'

/** The names of the flags by the kind of their values. */
export type ContainerFlagTable = Readonly<
  Record<Flag, OptionSpec<boolean>> &
    Record<Text, OptionSpec<string | undefined>> &
    Record<List, OptionSpec<readonly string[]>> &
    Record<Numeric, OptionSpec<number | undefined>> & {
      cgroupns: OptionSpec<(typeof CGROUP_NAMESPACES)[number] | undefined>
      pull: OptionSpec<(typeof PULL_POLICIES)[number] | undefined>
    }
>

/** The flags that `run` and `create` share: docker's, but for those of Windows and of features that are not here. */
export const CONTAINER_FLAGS: ContainerFlagTable = {
  'add-host': list("Add a line to the container's /etc/hosts (name:address)"),
  annotation: list('Annotation for the OCI runtime (key=value)', { value: 'map' }),
  attach: list('Connect only these streams: stdin, stdout, stderr', { short: 'a' }),
  'blkio-weight': integer('Relative weight of block I/O, 10 to 1000; 0 is none', { value: 'uint16' }),
  'cap-add': list('Give a Linux capability'),
  'cap-drop': list('Take a Linux capability away'),
  'cgroup-parent': text("The cgroup in which the container's is made"),
  cgroupns: oneOf(CGROUP_NAMESPACES, 'Cgroup namespace: "private" or "host"'),
  cidfile: text("Write the container's ID to this file, which must not exist"),
  'cpu-period': integer('Period of the CPU quota, in microseconds'),
  'cpu-quota': integer('CPU time in each period, in microseconds'),
  'cpu-rt-period': integer('Period of the real-time quota, in microseconds'),
  'cpu-rt-runtime': integer('Real-time CPU time in each period, in microseconds'),
  'cpu-shares': integer('Relative weight of CPU time', { short: 'c' }),
  cpus: decimal('How many CPUs at most, such as 1.5'),
  'cpuset-cpus': text('Which CPUs to run on (0-3, 0,1)'),
  'cpuset-mems': text('Which memory nodes to use (0-3, 0,1)'),
  device: list('Give a device of the host (path[:path in the container][:rwm])'),
  'device-cgroup-rule': list('Rule for the device cgroup, such as "c 42:* rwm"'),
  'disable-content-trust': flag('Accepted for compatibility', { hidden: true }),
  dns: list('Name server for the container'),
  'dns-option': list('Option of the resolver'),
  'dns-opt': list('As --dns-option', { hidden: true }),
  'dns-search': list('Domain in which names are looked up'),
  domainname: text('NIS domain name'),
  entrypoint: text(`Program in place of the image's entrypoint; "" is none`),
  env: list('Environment variable; NAME alone takes the value from here', { short: 'e' }),
  'env-file': list('File with an environment variable on each line'),
  expose: list('Note that a port, or a range of them, is served'),
  'group-add': list('One more group for the process'),
  'health-cmd': text('Shell command that checks health'),
  'health-interval': duration('Time from one check to the next (ms|s|m|h)'),
  'health-retries': integer('So many failures in a row make it unhealthy'),
  'health-start-interval': duration('Time from one check to the next while it starts (ms|s|m|h)'),
  'health-start-period': duration('For so long after the start failures do not count (ms|s|m|h)'),
  'health-timeout': duration('Time after which a check has failed (ms|s|m|h)'),
  hostname: text('Host name in the container', { short: 'h' }),
  init: flag('Run an init as process 1 that passes signals on and reaps'),
  interactive: flag('Keep stdin open, attached or not', { short: 'i' }),
  ip: text('IPv4 address on the network'),
  ip6: text('IPv6 address on the network'),
  ipc: text('IPC namespace: "private", "shareable", "host", "container:NAME"'),
  label: list('Label (key=value)', { short: 'l' }),
  'label-file': list('File with a label on each line'),
  'log-driver': text('How output is logged'),
  'log-opt': list('Option of the log driver'),
  'mac-address': text('MAC address on the network'),
  memory: bytes('Most memory, such as 512m', { short: 'm' }),
  'memory-reservation': bytes('Memory to get down to when the host is short of it'),
  'memory-swap': bytes('Most memory and swap together; -1 is no limit'),
  'memory-swappiness': integer('How readily memory is swapped out (0 to 100)', { shownDefault: '-1' }),
  mount: list('Mount with its details (type=...,source=...,target=...)', { value: 'mount' }),
  name: text('Name for the container; without, one is made up'),
  net: text('As --network', { value: 'network', hidden: true }),
  network: text('"bridge", "host", "none", "container:NAME" or a network', { value: 'network' }),
  'network-alias': list('One more name on the network'),
  'net-alias': list('As --network-alias', { hidden: true }),
  'no-healthcheck': flag('Check no health, not even as the image says'),
  'oom-kill-disable': flag('Let no process be killed when memory is used up'),
  'oom-score-adj': integer('How readily the kernel kills it when memory is short (-1000 to 1000)'),
  pid: text('PID namespace: "host" or "container:NAME"'),
  'pids-limit': integer('Most processes; -1 is no limit'),
  platform: text('Platform of the image (os[/arch[/variant]])'),
  privileged: flag('All capabilities and devices, and no confinement'),
  publish: list('Make a port reachable on the host ([[address:][port]:]port)', { short: 'p' }),
  'publish-all': flag('Make every exposed port reachable on a free port of the host', { short: 'P' }),
  pull: oneOf(PULL_POLICIES, 'When to ask the registry for the image ("always", "missing", "never")', { shownDefault: '"missing"' }),
  quiet: flag('Show no progress of a pull', { short: 'q' }),
  'read-only': flag('Let the root filesystem be read only'),
  restart: text('What happens after the process has ended: "no", "always", "unless-stopped", "on-failure[:N]"', { shownDefault: '"no"' }),
  rm: flag('Remove the container and its anonymous volumes when it ends'),
  runtime: text('OCI runtime to use'),
  'security-opt': list('seccomp=, apparmor=, label=, no-new-privileges, systempaths='),
  'shm-size': bytes('Size of /dev/shm'),
  'stop-signal': text('Signal that asks the process to end'),
  'stop-timeout': integer('Seconds until it is killed after that signal'),
  'storage-opt': list('Storage driver option for the container layer'),
  sysctl: list('Kernel parameter for the container (name=value)', { value: 'map' }),
  tmpfs: list('Mount a tmpfs at this path (path[:options])'),
  tty: flag('Give the process a terminal', { short: 't' }),
  ulimit: list('Resource limit (name=soft[:hard])', { value: 'ulimit' }),
  user: text('User and group (name|uid[:group|gid])', { short: 'u' }),
  userns: text('User namespace: "host"'),
  uts: text('UTS namespace: "host"'),
  volume: list('Mount a host path or a volume ([source:]target[:options])', { short: 'v' }),
  'volume-driver': text('Driver of volumes that are made'),
  'volumes-from': list('Take over the volumes of another container'),
  workdir: text('Directory in which the process starts', { short: 'w' }),
}

/** Flags of `exec` and `run` that say how to attach. */
export const ATTACH_FLAGS: {
  readonly 'detach-keys': OptionSpec<string | undefined>
  readonly 'sig-proxy': OptionSpec<boolean | undefined>
} = {
  'detach-keys': text('Keys that detach and leave the container running (default "ctrl-p,ctrl-q")'),
  'sig-proxy': optionalFlag('Pass signals on to the process', { shownDefault: 'true' }),
}
