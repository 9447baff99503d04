import { StrataError } from '../../base/index.ts'
import type { AttachmentEnd } from '../../engine/index.ts'
import type { Invocation } from '../invocation.ts'
import type { Surroundings } from '../surroundings.ts'
import type { SignalRelay } from './signalRelay.ts'

/** Waits for the end of an attachment and resolves with the exit code that the command has then. */
export async function follow(invocation: Invocation, ended: Promise<AttachmentEnd>, relay: SignalRelay | undefined): Promise<number> {
  const end = await (relay === undefined ? ended : Promise.race([ended, relay.gaveUp]))
  if (end === 'gave up') {
    invocation.complain('strata: the process does not end on three signals; it is left running\n')
    return 1
  }
  if (end.kind === 'exited') return end.exitCode
  invocation.complain('read escape sequence\n')
  return 0
}

/** With `-t` and `-i` the user's side must be a terminal as well. Throws docker's complaint otherwise. */
export function checkTerminal(surroundings: Surroundings, wanted: { readonly tty: boolean; readonly stdin: boolean }): void {
  if (!wanted.tty || !wanted.stdin || surroundings.stdin.isTTY === true) return
  throw new StrataError('invalidArgument', 'STRATA_NOT_A_TERMINAL', 'the input device is not a TTY', {
    hint: 'Leave out -t when stdin is a pipe or a file.',
  })
}
