import { posix } from 'node:path'
import { StrataError } from '../base/index.ts'
import type { ProcessOptions, RuntimeFacts } from './bundleOptions.ts'
import { capabilitySets, chooseCapabilities } from './capabilities.ts'
import { planRlimits } from './rlimits.ts'
import type { RuntimeProcess, RuntimeUser } from './runtimeSpec.ts'
import { checkId } from './user.ts'

/** docker's: what a container has when the image says nothing. */
const DEFAULT_PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Directories of processes lead out of the container when a runtime leaks a descriptor: CVE-2024-21626. */
const PROCESS_DIRECTORY = /^\/(?:proc\/(?:self|thread-self|\d+)|dev\/fd)(?:\/|$)/

/**
 * How a process starts, as the runtime reads it: the process of a container or of an exec session.
 * Pure: nothing is looked up.
 *
 * Throws `invalidArgument` for arguments, ids, directories or limits that no runtime must get.
 */
export function planProcess(
  options: ProcessOptions,
  facts: Pick<RuntimeFacts, 'capabilities' | 'hardLimits'>,
): { process: RuntimeProcess; warnings: readonly string[] } {
  const user = planUser(options.user)
  const { chosen, missing } = chooseCapabilities({ ...options.capabilities, privileged: options.privileged === true }, facts.capabilities)
  const { rlimits, warnings } = planRlimits(options.ulimits ?? [], facts)
  const terminal = options.terminal === true
  const process: RuntimeProcess = {
    terminal,
    ...(terminal && options.consoleSize !== undefined ? { consoleSize: options.consoleSize } : {}),
    user,
    args: planArguments(options.args),
    env: planEnvironment(options.env ?? [], terminal),
    cwd: planDirectory(options.cwd ?? '/'),
    capabilities: capabilitySets(chosen, user.uid),
    rlimits,
    noNewPrivileges: options.noNewPrivileges === true,
    ...(options.oomScoreAdj === undefined ? {} : { oomScoreAdj: planOomScore(options.oomScoreAdj) }),
  }
  const lost = missing.map(name => `The capability ${name} is not given: this process does not have it itself.`)
  return { process, warnings: [...warnings, ...lost] }
}

function planUser(user: RuntimeUser = { uid: 0, gid: 0, additionalGids: [] }): RuntimeUser {
  for (const id of [user.uid, user.gid, ...user.additionalGids]) checkId(id)
  // The primary group is said here too, or a process could give it up with setgroups(2) and pass by a
  // file that denies that group (CVE-2022-36109); and the caller's own groups are never kept.
  return { ...user, additionalGids: [...new Set([user.gid, ...user.additionalGids])] }
}

function planArguments(args: readonly string[]): readonly string[] {
  const [command] = args
  if (command === undefined) throw new StrataError('invalidArgument', 'STRATA_NO_COMMAND', 'Cannot start a process: no command is given')
  if (command === '') throw new StrataError('invalidArgument', 'STRATA_NO_COMMAND', 'Cannot start a process: the command is empty')
  for (const arg of args) refuseNul('an argument', arg)
  return args
}

function planEnvironment(env: readonly string[], terminal: boolean): readonly string[] {
  for (const variable of env) {
    refuseNul('an environment variable', variable)
    if (!/^[^=]+=/.test(variable)) {
      throw new StrataError(
        'invalidArgument',
        'STRATA_INVALID_ENV',
        `Cannot set environment variable "${variable.split('=')[0]}": expected NAME=value`,
      )
    }
  }
  const has = (name: string): boolean => env.some(variable => variable.startsWith(`${name}=`))
  return [...(has('PATH') ? [] : [DEFAULT_PATH]), ...(terminal && !has('TERM') ? ['TERM=xterm'] : []), ...env]
}

/** An absolute directory of the container, normalized, that is none of a process: hostile #84. */
function planDirectory(cwd: string): string {
  refuseNul('the working directory', cwd)
  if (!cwd.startsWith('/')) {
    throw new StrataError('invalidArgument', 'STRATA_INVALID_CWD', `Cannot use working directory "${cwd}": it is not an absolute path`)
  }
  const normal = posix.normalize(cwd)
  if (PROCESS_DIRECTORY.test(normal)) {
    throw new StrataError('invalidArgument', 'STRATA_INVALID_CWD', `Cannot use working directory "${cwd}": it belongs to a process`)
  }
  return normal.length > 1 ? normal.replace(/\/$/, '') : normal
}

function planOomScore(score: number): number {
  if (Number.isInteger(score) && score >= -1000 && score <= 1000) return score
  throw new StrataError('invalidArgument', 'STRATA_INVALID_OOM_SCORE', `Cannot set OOM score adjustment ${score}: expected -1000 to 1000`)
}

/** A NUL ends a string for the kernel; what stands after it would be lost silently. The value is not shown: it may be a secret. */
function refuseNul(what: string, text: string): void {
  if (!text.includes('\0')) return
  throw new StrataError('invalidArgument', 'STRATA_NUL_BYTE', `Cannot start a process: ${what} has a NUL byte`)
}
