import type { RuntimeFacts } from './bundleOptions.ts'
import type { SeccompArgument, SeccompProfile, SeccompRule } from './runtimeSpec.ts'
import { type ArgumentTest, CLONE_NAMESPACES, ENOSYS, EPERM, type SeccompPolicy } from './seccompPolicy.ts'

const ALLOW = 'SCMP_ACT_ALLOW'
const ERRNO = 'SCMP_ACT_ERRNO'

/**
 * Which machines a filter speaks of: a kernel runs the programs of its smaller siblings too. x32 is
 * left out: kernels of distributions have it switched off.
 */
const ARCHITECTURES: Readonly<Record<string, readonly string[]>> = {
  amd64: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86'],
  '386': ['SCMP_ARCH_X86'],
  arm64: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'],
  arm: ['SCMP_ARCH_ARM'],
  ppc64le: ['SCMP_ARCH_PPC64LE'],
  s390x: ['SCMP_ARCH_S390X', 'SCMP_ARCH_S390'],
  riscv64: ['SCMP_ARCH_RISCV64'],
  mips64le: ['SCMP_ARCH_MIPSEL64', 'SCMP_ARCH_MIPSEL', 'SCMP_ARCH_MIPSEL64N32'],
  loong64: ['SCMP_ARCH_LOONGARCH64'],
}

/**
 * A policy as the runtime-spec writes it. libseccomp takes no rule that contradicts another one of
 * the same call, so a call whose condition fails gets the default, ENOSYS; clone's flags, which
 * programs ask for most, are the exception.
 */
export function formatSeccomp(policy: SeccompPolicy, facts: Pick<RuntimeFacts, 'architecture'>): SeccompProfile {
  const architectures = ARCHITECTURES[facts.architecture]
  const rules: SeccompRule[] = [
    { names: [...policy.allowed], action: ALLOW },
    { names: [...policy.refused], action: ERRNO, errnoRet: EPERM },
  ]
  for (const [name, { argument, tests }] of policy.conditional) {
    for (const test of tests) rules.push({ names: [name], action: ALLOW, args: [formatTest(argument, test)] })
    if (name !== 'clone') continue
    for (const flag of CLONE_NAMESPACES) {
      const args = [{ index: argument, value: flag, valueTwo: flag, op: 'SCMP_CMP_MASKED_EQ' }]
      rules.push({ names: [name], action: ERRNO, errnoRet: EPERM, args })
    }
  }
  return { defaultAction: ERRNO, defaultErrnoRet: ENOSYS, ...(architectures === undefined ? {} : { architectures }), syscalls: rules }
}

function formatTest(index: number, test: ArgumentTest): SeccompArgument {
  switch (test.op) {
    case 'equal':
      return { index, value: test.value, op: 'SCMP_CMP_EQ' }
    case 'below':
      return { index, value: test.value, op: 'SCMP_CMP_LT' }
    case 'without':
      return { index, value: test.bits, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }
    default:
      return test satisfies never
  }
}
