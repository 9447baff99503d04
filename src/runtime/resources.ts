import { StrataError } from '../base/index.ts'
import type { ResourceOptions, RuntimeFacts } from './bundleOptions.ts'
import type { RuntimeCpu, RuntimeMemory, RuntimeResources } from './runtimeSpec.ts'

const MIB = 1024 * 1024

/** docker's least memory: below it a runtime cannot even start a process. */
const LEAST_MEMORY = 6 * MIB

/** docker's period of CPU quotas, in microseconds. */
const CPU_PERIOD = 100_000

/** PID_MAX_LIMIT: as many processes as a 64-bit kernel can have at all. linux/threads.h */
const MOST_PROCESSES = 4 * 1024 * 1024

/** Kernels have at most 8,192 processors: a bound that stops lists like `0-4294967295`. hostile #97 */
const PROCESSORS = 8192

/**
 * Limits as the runtime reads them, for create and update. A limit that this machine cannot set is
 * left out and said, as docker does; a value that makes no sense is refused.
 */
export function planResources(
  options: ResourceOptions,
  facts: Pick<RuntimeFacts, 'cgroups' | 'processors'>,
): { resources: Omit<RuntimeResources, 'devices'>; warnings: readonly string[] } {
  const warnings: string[] = []
  const memory = planMemory(options, facts, warnings)
  const cpu = planCpu(options, facts)
  const resources = {
    ...(memory === undefined ? {} : { memory }),
    ...(cpu === undefined ? {} : { cpu }),
    ...planPids(options),
    ...(options.blkioWeight === undefined ? {} : { blockIO: { weight: within('blkio weight', options.blkioWeight, 10, 1000) } }),
  }
  return { resources: onlyPossible(resources, facts, warnings), warnings }
}

function planMemory(options: ResourceOptions, facts: Pick<RuntimeFacts, 'cgroups'>, warnings: string[]): RuntimeMemory | undefined {
  const { memoryBytes, memorySwapBytes, memoryReservationBytes, memorySwappiness } = options
  // 0 is docker's word for "no limit".
  const limit = memoryBytes === undefined || memoryBytes === 0 ? undefined : whole('memory limit', memoryBytes, LEAST_MEMORY)
  const swap = memorySwapBytes === undefined || memorySwapBytes === 0 ? undefined : memorySwapBytes
  if (swap !== undefined && limit === undefined && swap !== -1) refuse('memory and swap limit', swap, 'a memory limit is needed too')
  if (swap !== undefined && swap !== -1 && limit !== undefined) whole('memory and swap limit', swap, limit)
  const reservation =
    memoryReservationBytes === undefined || memoryReservationBytes === 0
      ? undefined
      : whole('memory reservation', memoryReservationBytes, LEAST_MEMORY)
  if (reservation !== undefined && limit !== undefined && reservation > limit)
    refuse('memory reservation', reservation, `it is above the memory limit ${limit}`)

  const total = swap ?? (limit === undefined ? undefined : limit * 2)
  if (total !== undefined && !facts.cgroups.swapLimit && facts.cgroups.layout !== 'none') {
    warnings.push('Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.')
  }
  // -1 is docker's word for "as the machine has it".
  const swappiness =
    memorySwappiness === undefined || memorySwappiness === -1 ? undefined : within('memory swappiness', memorySwappiness, 0, 100)
  const possible = swappiness === undefined || facts.cgroups.layout !== 'v2'
  if (!possible) warnings.push('Memory swappiness is not supported on cgroup v2. Discarded.')
  const memory: RuntimeMemory = {
    ...(limit === undefined ? {} : { limit }),
    ...(total !== undefined && facts.cgroups.swapLimit ? { swap: total } : {}),
    ...(reservation === undefined ? {} : { reservation }),
    ...(swappiness === undefined || !possible ? {} : { swappiness }),
    ...(options.disableOomKiller === true ? { disableOOMKiller: true } : {}),
  }
  return Object.keys(memory).length === 0 ? undefined : memory
}

function planCpu(options: ResourceOptions, facts: Pick<RuntimeFacts, 'processors'>): RuntimeCpu | undefined {
  const { cpus, cpuShares, cpuPeriodUs, cpuQuotaUs } = options
  if (cpus !== undefined && cpus !== 0) {
    if (cpuPeriodUs !== undefined || cpuQuotaUs !== undefined) refuse('cpus', cpus, 'a CPU period or quota is given too')
    if (!(cpus >= 0.01 && cpus <= facts.processors))
      refuse('cpus', cpus, `expected 0.01 to ${facts.processors}, as there are only ${facts.processors} processors`)
  }
  const cpu: RuntimeCpu = {
    ...(cpus === undefined || cpus === 0 ? {} : { period: CPU_PERIOD, quota: Math.round(cpus * CPU_PERIOD) }),
    ...(cpuPeriodUs === undefined || cpuPeriodUs === 0 ? {} : { period: within('CPU period', cpuPeriodUs, 1000, 1_000_000) }),
    ...(cpuQuotaUs === undefined || cpuQuotaUs === 0 ? {} : { quota: cpuQuotaUs === -1 ? -1 : whole('CPU quota', cpuQuotaUs, 1000) }),
    ...(cpuShares === undefined || cpuShares === 0 ? {} : { shares: within('cpu-shares', cpuShares, 2, 262_144) }),
    ...(options.cpuRealtimePeriodUs === undefined ? {} : { realtimePeriod: options.cpuRealtimePeriodUs }),
    ...(options.cpuRealtimeRuntimeUs === undefined ? {} : { realtimeRuntime: options.cpuRealtimeRuntimeUs }),
    ...planSet('cpus', 'cpuset-cpus', options.cpusetCpus),
    ...planSet('mems', 'cpuset-mems', options.cpusetMems),
  }
  return Object.keys(cpu).length === 0 ? undefined : cpu
}

function planSet(key: 'cpus' | 'mems', what: string, list: string | undefined): { cpus?: string; mems?: string } {
  if (list === undefined || list === '') return {}
  if (list.length > 32_768) refuse(what, `${list.slice(0, 40)}…`, 'it is too long')
  for (const part of list.split(',')) {
    const [, first = '', last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part) ?? []
    if (first === '' || Number(first) > Number(last) || Number(last) >= PROCESSORS)
      refuse(what, list.slice(0, 40), `expected numbers and ranges below ${PROCESSORS}`)
  }
  return { [key]: list }
}

function planPids(options: ResourceOptions): { pids?: { limit: number } } {
  if (options.pidsLimit === undefined) return {}
  if (!Number.isSafeInteger(options.pidsLimit) || options.pidsLimit < -1)
    refuse('pids limit', options.pidsLimit, 'expected a whole number, or -1 for none')
  // 0 is docker's word for "no limit" too; crun passes -1 on to a kernel that does not know it.
  return { pids: { limit: options.pidsLimit <= 0 ? MOST_PROCESSES : options.pidsLimit } }
}

/** Which controller sets what, and what docker calls it. */
const NEEDS = {
  memory: ['memory', 'memory limit'],
  cpu: ['cpu', 'CPU limits'],
  pids: ['pids', 'pids limit'],
  blockIO: ['blkio', 'block I/O weight'],
} as const

function onlyPossible(
  resources: Omit<RuntimeResources, 'devices'>,
  facts: Pick<RuntimeFacts, 'cgroups'>,
  warnings: string[],
): Omit<RuntimeResources, 'devices'> {
  const kept: Record<string, unknown> = { ...resources }
  for (const [key, [controller, what]] of Object.entries(NEEDS)) {
    const available = facts.cgroups.controllers.includes(controller) || (controller === 'blkio' && facts.cgroups.controllers.includes('io'))
    if (kept[key] === undefined || available) continue
    delete kept[key]
    warnings.push(`Your kernel does not support ${what} or the cgroup is not mounted. Limitation discarded.`)
  }
  return kept
}

function whole(what: string, value: number, least: number): number {
  return Number.isSafeInteger(value) && value >= least ? value : refuse(what, value, `expected a whole number from ${least} up`)
}

function within(what: string, value: number, least: number, most: number): number {
  return Number.isInteger(value) && value >= least && value <= most ? value : refuse(what, value, `expected ${least} to ${most}`)
}

function refuse(what: string, value: number | string, state: string): never {
  throw new StrataError('invalidArgument', 'STRATA_INVALID_LIMIT', `Cannot set ${what} ${value}: ${state}`)
}
