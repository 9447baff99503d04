import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { capabilitiesOf } from './capabilities.ts'
import { compileSeccomp } from './seccompFilter.ts'
import { defaultSeccompPolicy, ENOSYS, EPERM } from './seccompPolicy.ts'
import { parseSeccompProfile } from './seccompProfile.ts'
import { formatSeccomp } from './seccomp.ts'
import { X86_64_CALLS, X86_CALLS } from './systemCallNumbers.ts'
import { ALLOWED, BY_CAPABILITY, CONDITIONAL, DENIED } from './systemCalls.ts'

const FACTS = { architecture: 'amd64', kernelRelease: '6.1.0' }
const X86_64 = 0xc000_003e
const X86 = 0x4000_0003
const ALL_CAPABILITIES = capabilitiesOf(2n ** 41n - 1n)

/** The kernel's reading of a program: 'allow', or the errno. */
function runFilter(program: Buffer, call: { machine: number; number: number; args?: readonly bigint[] }): 'allow' | number {
  const data = Buffer.alloc(64)
  data.writeUInt32LE(call.number >>> 0, 0)
  data.writeUInt32LE(call.machine, 4)
  for (const [index, value] of (call.args ?? []).entries()) data.writeBigUInt64LE(value, 16 + 8 * index)
  let accumulator = 0
  for (let at = 0; at < program.length / 8; at += 1) {
    const code = program.readUInt16LE(at * 8)
    const value = program.readUInt32LE(at * 8 + 4)
    const branch = (holds: boolean): number => program.readUInt8(at * 8 + (holds ? 2 : 3))
    if (code === 0x20) accumulator = data.readUInt32LE(value)
    else if (code === 0x05) at += value
    else if (code === 0x15) at += branch(accumulator === value)
    else if (code === 0x35) at += branch(accumulator >= value)
    else if (code === 0x45) at += branch((accumulator & value) !== 0)
    else {
      assert.equal(code, 0x06)
      return value === 0x7fff_0000 ? 'allow' : value & 0xffff
    }
  }
  throw new Error('the program ran past its end')
}

function filterFor(capabilities: readonly string[] = []): Buffer {
  const program = compileSeccomp(defaultSeccompPolicy(FACTS, capabilities), 'amd64')
  assert.ok(program !== undefined)
  return program
}

function call(name: string, args: readonly bigint[] = [], capabilities: readonly string[] = []): 'allow' | number {
  return runFilter(filterFor(capabilities), { machine: X86_64, number: X86_64_CALLS.get(name) ?? -1, args })
}

test('the lists of system calls say exactly one thing of each call', () => {
  const gated = [...new Set(Object.values(BY_CAPABILITY).flat())].filter(name => !CONDITIONAL.includes(name))
  const all = [...ALLOWED, ...gated, ...DENIED, ...CONDITIONAL]
  assert.deepEqual(
    all.filter((name, index) => all.indexOf(name) !== index),
    [],
  )
  const known = new Set(all)
  assert.deepEqual(
    [...X86_64_CALLS.keys(), ...X86_CALLS.keys()].filter(name => !known.has(name)),
    [],
  )
})

test("the tables of numbers are those of this machine's kernel headers", t => {
  const headers = (file: string): [string, number][] | undefined => {
    try {
      const text = readFileSync(`/usr/include/x86_64-linux-gnu/asm/${file}`, 'utf8')
      return [...text.matchAll(/^#define __NR_(\w+) (\d+)$/gm)].map(([, name = '', number]) => [name, Number(number)])
    } catch {
      return undefined
    }
  }
  const [large, small] = [headers('unistd_64.h'), headers('unistd_32.h')]
  if (large === undefined || small === undefined) return t.skip('no kernel headers for x86-64 on this machine')
  assert.deepEqual(
    large.filter(([name, number]) => X86_64_CALLS.get(name) !== number),
    [],
  )
  assert.deepEqual(
    small.filter(([name, number]) => X86_CALLS.get(name) !== number),
    [],
  )
})

test('compileSeccomp() does to every number of both tables what the policy says', () => {
  const unconditional = (name: string, capabilities: readonly string[]): 'allow' | number | undefined => {
    const { allowed, refused, conditional } = defaultSeccompPolicy(FACTS, capabilities)
    if (allowed.has(name)) return 'allow'
    return conditional.has(name) ? undefined : refused.has(name) ? EPERM : ENOSYS
  }
  for (const capabilities of [[], ALL_CAPABILITIES, ['CAP_SYS_PTRACE']]) {
    const program = filterFor(capabilities)
    assert.ok(program.length / 8 < 4096, 'the kernel takes at most 4096 instructions')
    for (const [machine, table] of [
      [X86_64, X86_64_CALLS],
      [X86, X86_CALLS],
    ] as const) {
      const names = new Map([...table].map(([name, number]) => [number, name]))
      for (let number = 0; number < 600; number += 1) {
        const name = names.get(number)
        const expected = name === undefined ? ENOSYS : unconditional(name, capabilities)
        if (expected !== undefined)
          assert.equal(runFilter(program, { machine, number }), expected, `${name ?? number} on ${machine.toString(16)}`)
      }
    }
  }
})

test('compileSeccomp() knows no numbers beyond the tables, none of x32, and no other machine', () => {
  const program = filterFor(ALL_CAPABILITIES)
  for (const number of [1000, 0x4000_0000, 0x4000_0001, 0x7fff_ffff, 0xffff_ffff])
    assert.equal(runFilter(program, { machine: X86_64, number }), ENOSYS)
  assert.equal(runFilter(program, { machine: 0xc000_00b7, number: 0 }), ENOSYS)
})

test('the default policy refuses what docker documents as blocked', () => {
  const blocked =
    'acct add_key bpf clock_adjtime clock_settime create_module delete_module finit_module get_kernel_syms get_mempolicy init_module ' +
    'ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mbind mount move_pages nfsservctl open_by_handle_at ' +
    'perf_event_open pivot_root process_vm_readv process_vm_writev query_module quotactl reboot request_key set_mempolicy setns ' +
    'settimeofday swapon swapoff sysfs _sysctl umount2 unshare uselib userfaultfd ustat io_uring_setup'
  for (const name of blocked.split(' ')) assert.equal(call(name), EPERM, name)
})

test('the default policy goes with the capabilities', () => {
  assert.equal(call('mount', [], ['CAP_SYS_ADMIN']), 'allow')
  assert.equal(call('setns', [], ['CAP_SYS_ADMIN']), 'allow')
  assert.equal(call('init_module', [], ['CAP_SYS_MODULE']), 'allow')
  assert.equal(call('init_module', [], ['CAP_SYS_ADMIN']), EPERM)
  assert.equal(call('chroot', [], ['CAP_SYS_CHROOT']), 'allow')
  assert.equal(call('chroot'), EPERM)
  assert.equal(call('keyctl', [], ALL_CAPABILITIES), EPERM)
})

test('the default policy lets processes trace each other from kernel 4.8 on', () => {
  assert.ok(defaultSeccompPolicy({ ...FACTS, kernelRelease: '4.8.0' }, []).allowed.has('ptrace'))
  assert.ok(defaultSeccompPolicy({ ...FACTS, kernelRelease: '4.4.0-210-generic' }, []).refused.has('ptrace'))
})

test('the default policy looks at the flags of clone, and sends clone3 to it', () => {
  const CLONE_THREAD = 0x3d_0f00n
  assert.equal(call('clone', [CLONE_THREAD]), 'allow')
  for (const flag of [0x2_0000n, 0x200_0000n, 0x400_0000n, 0x800_0000n, 0x1000_0000n, 0x2000_0000n, 0x4000_0000n]) {
    assert.equal(call('clone', [CLONE_THREAD | flag]), EPERM)
    assert.equal(call('clone', [CLONE_THREAD | flag], ['CAP_SYS_ADMIN']), 'allow')
  }
  assert.equal(call('clone3'), ENOSYS)
  assert.equal(call('clone3', [], ['CAP_SYS_ADMIN']), 'allow')
})

test('the default policy compares arguments as the kernel does: their low 32 bits', () => {
  fc.assert(
    fc.property(fc.bigInt(0n, 0xffff_ffffn), fc.nat(60), (high, family) => {
      const expected = family === 38 || family === 40 || family > 45 ? EPERM : 'allow'
      assert.equal(call('socket', [(high << 32n) | BigInt(family)]), expected)
    }),
  )
  assert.equal(call('personality', [0xffff_ffffn]), 'allow')
  assert.equal(call('personality', [0x4_0000n]), EPERM)
})

test('formatSeccomp() says the same as the filter to runtimes that take a profile', () => {
  const policy = defaultSeccompPolicy(FACTS, ['CAP_SYS_CHROOT'])
  const profile = formatSeccomp(policy, FACTS)
  const allowed = profile.syscalls?.filter(rule => rule.action === 'SCMP_ACT_ALLOW' && rule.args === undefined).flatMap(rule => rule.names)
  assert.deepEqual(new Set(allowed), policy.allowed)
  assert.equal(profile.defaultErrnoRet, ENOSYS)
})

test("parseSeccompProfile() reads docker's format for these capabilities, this machine and this kernel", () => {
  const text = JSON.stringify({
    defaultAction: 'SCMP_ACT_ERRNO',
    archMap: [
      { architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86'] },
      { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: ['SCMP_ARCH_ARM'] },
    ],
    syscalls: [
      { names: ['read'], action: 'SCMP_ACT_ALLOW' },
      { names: ['mount'], action: 'SCMP_ACT_ALLOW', includes: { caps: ['CAP_SYS_ADMIN'] } },
      { names: ['umount'], action: 'SCMP_ACT_ALLOW', excludes: { caps: ['CAP_SYS_ADMIN'] } },
      { names: ['cacheflush'], action: 'SCMP_ACT_ALLOW', includes: { arches: ['arm', 'arm64'] } },
      { names: ['ptrace'], action: 'SCMP_ACT_ALLOW', includes: { minKernel: '4.8' } },
      { name: 'clone', action: 'SCMP_ACT_ALLOW', args: [{ index: 0, value: 1, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }] },
    ],
  })
  const names = (capabilities: string[], facts = FACTS): readonly string[] | undefined =>
    parseSeccompProfile(text, facts, capabilities).syscalls?.flatMap(rule => rule.names)
  assert.deepEqual(names([]), ['read', 'umount', 'ptrace', 'clone'])
  assert.deepEqual(names(['CAP_SYS_ADMIN'], { architecture: 'arm64', kernelRelease: '4.4' }), ['read', 'mount', 'cacheflush', 'clone'])
  assert.deepEqual(parseSeccompProfile(text, FACTS, []).architectures, ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86'])
})

test('parseSeccompProfile() refuses what is no profile', () => {
  for (const text of [
    '',
    '[]',
    '{}',
    '{"defaultAction":1}',
    '{"defaultAction":"x","syscalls":{}}',
    '{"defaultAction":"x","syscalls":[{"names":[],"action":"y"}]}',
  ]) {
    assert.throws(() => parseSeccompProfile(text, FACTS, []), { code: 'STRATA_INVALID_SECCOMP' })
  }
})
