import { ENOSYS, EPERM, type ArgumentCondition, type SeccompPolicy } from './seccompPolicy.ts'
import { X86_64_CALLS, X86_CALLS } from './systemCallNumbers.ts'

/*
 * A policy as the kernel's own program, classic BPF over struct seccomp_data (seccomp(2),
 * Documentation/userspace-api/seccomp_filter.rst). libseccomp takes 12 ms of CPU to make one out of a
 * profile, again at each start of a container; this takes a fraction of one. It is also exact: an
 * argument is compared as the kernel takes it, with 32 bits, and calls younger than the machine's
 * libseccomp are known.
 *
 * The program: which machine → a binary search over ranges of call numbers that fare alike → what
 * becomes of the call, or the comparisons of its argument.
 */

/** BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JA, |BPF_JEQ, |BPF_JGE, |BPF_JSET, all with BPF_K, and BPF_RET|BPF_K. linux/bpf_common.h */
const LOAD = 0x20
const JUMP = 0x05
const JUMP_EQUAL = 0x15
const JUMP_AT_LEAST = 0x35
const JUMP_ANY_BIT = 0x45
const RETURN = 0x06

/** linux/seccomp.h */
const RET_ALLOW = 0x7fff_0000
const RET_ERRNO = 0x0005_0000

/** Offsets in struct seccomp_data; an argument's low half comes first on x86. */
const NUMBER_OFFSET = 0
const MACHINE_OFFSET = 4
const ARGUMENTS_OFFSET = 16

/** AUDIT_ARCH_X86_64 and AUDIT_ARCH_I386. linux/audit.h */
const MACHINES: readonly (readonly [machine: number, numbers: ReadonlyMap<string, number>])[] = [
  [0xc000_003e, X86_64_CALLS],
  [0x4000_0003, X86_CALLS],
]

interface Instruction {
  readonly code: number
  /** How many instructions are left out if the comparison holds, and if it does not. */
  readonly whenTrue: number
  readonly whenFalse: number
  readonly value: number
}

/** Compiles a policy for x86-64 kernels; undefined for other machines, whose tables are not here. */
export function compileSeccomp(policy: SeccompPolicy, architecture: string): Buffer | undefined {
  if (architecture !== 'amd64') return undefined
  const program = [load(MACHINE_OFFSET)]
  for (const [machine, numbers] of MACHINES) {
    const section = [load(NUMBER_OFFSET), ...search(rangesOf(policy, numbers))]
    program.push(compare(JUMP_EQUAL, machine, 1, 0), jump(section.length), ...section)
  }
  program.push(give(RET_ERRNO | ENOSYS))
  return encode(program)
}

/** Numbers from `first` on, up to the next range, that fare alike. */
interface Range {
  readonly first: number
  readonly verdict: Verdict
}
type Verdict = number | ArgumentCondition

/** What is no number of a table, above it as below it, is unknown; so x32's numbers, which have bit 30, are too. */
function rangesOf(policy: SeccompPolicy, numbers: ReadonlyMap<string, number>): readonly Range[] {
  const verdicts = new Map<number, Verdict>()
  for (const [name, number] of numbers) verdicts.set(number, verdictOn(policy, name))
  const end = Math.max(...verdicts.keys()) + 1
  const ranges: Range[] = []
  for (let number = 0; number <= end; number += 1) {
    const verdict = verdicts.get(number) ?? RET_ERRNO | ENOSYS
    if (ranges.at(-1)?.verdict !== verdict) ranges.push({ first: number, verdict })
  }
  return ranges
}

function verdictOn(policy: SeccompPolicy, name: string): Verdict {
  if (policy.allowed.has(name)) return RET_ALLOW
  return policy.conditional.get(name) ?? RET_ERRNO | (policy.refused.has(name) ? EPERM : ENOSYS)
}

/** Finds the range of the number that is loaded. */
function search(ranges: readonly Range[]): readonly Instruction[] {
  const [only] = ranges
  if (only === undefined) return []
  if (ranges.length === 1) return typeof only.verdict === 'number' ? [give(only.verdict)] : condition(only.verdict)
  const middle = ranges.length >> 1
  const below = search(ranges.slice(0, middle))
  const above = search(ranges.slice(middle))
  // A comparison reaches 255 instructions far; a jump reaches any.
  return [compare(JUMP_AT_LEAST, ranges[middle]?.first ?? 0, 0, 1), jump(below.length), ...below, ...above]
}

function condition({ argument, tests }: ArgumentCondition): readonly Instruction[] {
  const checks = tests.flatMap(test => {
    const allow = give(RET_ALLOW)
    switch (test.op) {
      case 'equal':
        return [compare(JUMP_EQUAL, test.value, 0, 1), allow]
      case 'below':
        return [compare(JUMP_AT_LEAST, test.value, 1, 0), allow]
      case 'without':
        return [compare(JUMP_ANY_BIT, test.bits, 1, 0), allow]
      default:
        return test satisfies never
    }
  })
  return [load(ARGUMENTS_OFFSET + 8 * argument), ...checks, give(RET_ERRNO | EPERM)]
}

function load(offset: number): Instruction {
  return { code: LOAD, whenTrue: 0, whenFalse: 0, value: offset }
}

function compare(code: number, value: number, whenTrue: number, whenFalse: number): Instruction {
  return { code, whenTrue, whenFalse, value }
}

function jump(distance: number): Instruction {
  return { code: JUMP, whenTrue: 0, whenFalse: 0, value: distance }
}

function give(verdict: number): Instruction {
  return { code: RETURN, whenTrue: 0, whenFalse: 0, value: verdict }
}

/** struct sock_filter: u16 code, u8 jt, u8 jf, u32 k. linux/filter.h */
function encode(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8)
  for (const [index, { code, whenTrue, whenFalse, value }] of program.entries()) {
    bytes.writeUInt16LE(code, index * 8)
    bytes.writeUInt8(whenTrue, index * 8 + 2)
    bytes.writeUInt8(whenFalse, index * 8 + 3)
    bytes.writeUInt32LE(value >>> 0, index * 8 + 4)
  }
  return bytes
}
