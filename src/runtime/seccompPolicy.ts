import type { RuntimeFacts } from './bundleOptions.ts'
import { isKernelSince } from './kernelVersion.ts'
import { ALLOWED, BY_CAPABILITY, DENIED } from './systemCalls.ts'

/** errno(3) */
export const EPERM = 1
export const ENOSYS = 38

/** One comparison of an argument, which is taken as the kernel takes it: its low 32 bits. */
export type ArgumentTest =
  | { readonly op: 'equal'; readonly value: number }
  | { readonly op: 'below'; readonly value: number }
  /** None of these bits is set. */
  | { readonly op: 'without'; readonly bits: number }

/** Allowed where one of the tests holds for the argument, refused with EPERM otherwise. */
export interface ArgumentCondition {
  readonly argument: number
  readonly tests: readonly ArgumentTest[]
}

/**
 * What a container may call: names that are in none of the three get ENOSYS. Those are younger than
 * this version, and a C library then falls back to an older call, as on an older kernel.
 */
export interface SeccompPolicy {
  readonly allowed: ReadonlySet<string>
  /** Refused with EPERM. */
  readonly refused: ReadonlySet<string>
  readonly conditional: ReadonlyMap<string, ArgumentCondition>
}

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. clone(2) */
export const CLONE_NAMESPACES: readonly number[] = [
  0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000,
]

/** PER_LINUX and PER_LINUX32, both also with UNAME26, and asking without setting. personality(2) */
const PERSONALITIES = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff]

/**
 * Address families up to AF_MCTP (45), without two whose kernel code containers must not reach:
 * AF_ALG (38, the crypto API) and AF_VSOCK (40, the hypervisor). socket(2)
 */
const FAMILIES: readonly ArgumentTest[] = [
  { op: 'below', value: 38 },
  ...[39, 41, 42, 43, 44, 45].map((value): ArgumentTest => ({ op: 'equal', value })),
]

/**
 * The policy that a container has unless told.
 *
 * @param capabilities the container's; calls that belong to one of them are allowed
 */
export function defaultSeccompPolicy(
  facts: Pick<RuntimeFacts, 'architecture' | 'kernelRelease'>,
  capabilities: readonly string[],
): SeccompPolicy {
  const granted = Object.entries(BY_CAPABILITY).flatMap(([capability, calls]) => (capabilities.includes(capability) ? calls : []))
  // socketcall's arguments are in memory, where no filter looks: with it a 32-bit program passes by the families.
  const allowed = new Set([...ALLOWED, ...granted, 'socketcall'])
  const conditional = new Map<string, ArgumentCondition>([
    ['personality', { argument: 0, tests: PERSONALITIES.map(value => ({ op: 'equal', value })) }],
    ['socket', { argument: 0, tests: FAMILIES }],
  ])
  if (capabilities.includes('CAP_SYS_ADMIN')) allowed.add('clone')
  else {
    const bits = CLONE_NAMESPACES.reduce((all, flag) => all + flag)
    // Flags are the first argument, but on s390 the second.
    conditional.set('clone', { argument: facts.architecture === 's390x' ? 1 : 0, tests: [{ op: 'without', bits }] })
  }
  // Before 4.8 a tracer could change a call after the filter had seen it.
  if (isKernelSince(facts.kernelRelease, 4, 8)) allowed.add('ptrace')
  // The flags of clone3 are in memory; ENOSYS makes a C library take clone, EPERM would not.
  const gated = Object.values(BY_CAPABILITY).flatMap(calls => calls.filter(name => name !== 'clone3'))
  return { allowed, refused: new Set([...DENIED, ...gated, 'ptrace'].filter(name => !allowed.has(name))), conditional }
}
