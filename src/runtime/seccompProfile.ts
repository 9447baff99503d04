import { StrataError } from '../base/index.ts'
import type { RuntimeFacts } from './bundleOptions.ts'
import { isKernelSince } from './kernelVersion.ts'
import type { SeccompArgument, SeccompProfile, SeccompRule } from './runtimeSpec.ts'

/**
 * Reads a profile of `--security-opt seccomp=FILE`: docker's format, whose rules may hold for some
 * capabilities, architectures or kernels only, or the runtime-spec's plain one.
 * docs.docker.com "Seccomp security profiles", runtime-spec config-linux.md#seccomp
 *
 * Throws `invalidArgument` for anything else.
 */
export function parseSeccompProfile(
  text: string,
  facts: Pick<RuntimeFacts, 'architecture' | 'kernelRelease'>,
  capabilities: readonly string[],
): SeccompProfile {
  const profile = parseRecord(text)
  const { defaultAction, defaultErrnoRet, flags, archMap, syscalls } = profile
  if (typeof defaultAction !== 'string') throw invalid('defaultAction is missing')
  const architectures = listOf(profile['architectures'], 'architectures', asText)
  const mapped = listOf(archMap, 'archMap', entry => {
    const { architecture, subArchitectures } = asRecord(entry, 'archMap')
    const own = asText(architecture, 'archMap')
    return ARCHITECTURE_NAMES[own] === facts.architecture ? [own, ...listOf(subArchitectures, 'subArchitectures', asText)] : []
  }).flat()
  const here = { ...facts, capabilities }
  const rules = listOf(syscalls, 'syscalls', entry => parseRule(asRecord(entry, 'syscalls'), here)).filter(rule => rule !== undefined)
  const all = [...architectures, ...mapped]
  return {
    defaultAction,
    ...(typeof defaultErrnoRet === 'number' ? { defaultErrnoRet } : {}),
    ...(all.length === 0 ? {} : { architectures: all }),
    ...(flags === undefined ? {} : { flags: listOf(flags, 'flags', asText) }),
    syscalls: rules,
  }
}

/** The seccomp library's name of a machine → OCI's. */
const ARCHITECTURE_NAMES: Readonly<Record<string, string>> = {
  SCMP_ARCH_X86_64: 'amd64',
  SCMP_ARCH_X86: '386',
  SCMP_ARCH_AARCH64: 'arm64',
  SCMP_ARCH_ARM: 'arm',
  SCMP_ARCH_PPC64LE: 'ppc64le',
  SCMP_ARCH_S390X: 's390x',
  SCMP_ARCH_RISCV64: 'riscv64',
  SCMP_ARCH_MIPSEL64: 'mips64le',
  SCMP_ARCH_LOONGARCH64: 'loong64',
}

type JsonRecord = { readonly [key: string]: unknown }
interface Here {
  readonly architecture: string
  readonly kernelRelease: string
  readonly capabilities: readonly string[]
}

function parseRule(rule: JsonRecord, here: Here): SeccompRule | undefined {
  const { name, action, errnoRet, includes, excludes } = rule
  const names = name === undefined ? listOf(rule['names'], 'names', asText) : [asText(name, 'name')]
  if (names.length === 0) throw invalid('a rule names no system call')
  const include = conditionsOf(includes, 'includes')
  const exclude = conditionsOf(excludes, 'excludes')
  if (!include.every(condition => condition(here)) || exclude.some(condition => condition(here))) return undefined
  const args = listOf(rule['args'], 'args', entry => parseArgument(asRecord(entry, 'args')))
  return {
    names,
    action: asText(action, 'action'),
    ...(typeof errnoRet === 'number' ? { errnoRet } : {}),
    ...(args.length === 0 ? {} : { args }),
  }
}

/** Each part of a filter that is there is one condition; a list of capabilities or architectures is one too. */
function conditionsOf(value: unknown, what: string): ((here: Here) => boolean)[] {
  if (value === undefined || value === null) return []
  const { caps, arches, minKernel } = asRecord(value, what)
  const capabilities = listOf(caps, `${what}.caps`, asText)
  const architectures = listOf(arches, `${what}.arches`, asText)
  const conditions: ((here: Here) => boolean)[] = []
  if (capabilities.length > 0) conditions.push(here => capabilities.some(each => here.capabilities.includes(each)))
  if (architectures.length > 0) conditions.push(here => architectures.includes(here.architecture))
  if (minKernel !== undefined && minKernel !== '') {
    const [, major = '', minor = '0'] = /^(\d+)(?:\.(\d+))?/.exec(asText(minKernel, `${what}.minKernel`)) ?? []
    if (major === '') throw invalid(`${what}.minKernel is no version`)
    conditions.push(here => isKernelSince(here.kernelRelease, Number(major), Number(minor)))
  }
  return conditions
}

function parseArgument({ index, value, valueTwo, op }: JsonRecord): SeccompArgument {
  if (typeof index !== 'number' || typeof value !== 'number') throw invalid('an argument has no index or value')
  return { index, value, ...(typeof valueTwo === 'number' ? { valueTwo } : {}), op: asText(op, 'op') }
}

function parseRecord(text: string): JsonRecord {
  try {
    return asRecord(JSON.parse(text), 'the profile')
  } catch (error) {
    if (error instanceof SyntaxError) throw invalid('it is not JSON')
    throw error
  }
}

function asRecord(value: unknown, what: string): JsonRecord {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonRecord
  throw invalid(`${what} is no object`)
}

function asText(value: unknown, what: string): string {
  if (typeof value === 'string') return value
  throw invalid(`${what} is no text`)
}

function listOf<T>(value: unknown, what: string, map: (entry: unknown, what: string) => T): T[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) throw invalid(`${what} is no list`)
  return value.map(entry => map(entry, what))
}

function invalid(state: string): StrataError {
  return new StrataError('invalidArgument', 'STRATA_INVALID_SECCOMP', `Cannot read the seccomp profile: ${state}`)
}
