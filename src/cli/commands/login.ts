import { isStrataError, readAtMost, StrataError } from '../../base/index.ts'
import type { Engine, Login } from '../../engine/index.ts'
import { defineCommand, type Command } from '../command.ts'
import type { Invocation } from '../invocation.ts'
import { flag, text } from '../options.ts'
import { askLine, askSecret } from '../prompt.ts'

/** A password or a token, not a file. */
const MAX_PASSWORD_BYTES = 64 * 1024

export const command: Command = defineCommand({
  usage: '[OPTIONS] [SERVER]',
  options: {
    password: text('Password or access token', { short: 'p' }),
    'password-stdin': flag('Read the password or access token from stdin'),
    username: text('User name', { short: 'u' }),
  },
  operands: [0, 1],
  async run(invocation, { password, 'password-stdin': fromStdin, username }, [server]) {
    if (fromStdin) {
      if (password !== undefined) throw misused('conflicting options: cannot specify both --password and --password-stdin')
      if (username === undefined) throw misused('the --password-stdin option requires --username to be set')
    }
    if (password !== undefined) invocation.complain('WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n')
    const given = fromStdin ? await passwordOnStdin(invocation) : password
    const engine = await invocation.engine()
    const known = username === undefined && given === undefined ? await useKnown(invocation, engine, server) : undefined
    const login = known ?? (await signIn(invocation, engine, { server, username, password: given }))
    if (login.keeper?.kind === 'file') {
      invocation.complain(
        `\nWARNING! Your credentials are stored unencrypted in '${login.keeper.path}'.\n` +
          'Configure a credential helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n\n',
      )
    }
    invocation.printLine('Login Succeeded')
    return 0
  },
})

/** Undefined when there are no credentials yet, or they are not taken any more. */
async function useKnown(invocation: Invocation, engine: Engine, server: string | undefined): Promise<Login | undefined> {
  try {
    const login = await engine.login(server, { signal: invocation.interruption() })
    invocation.complain(`Authenticating with existing credentials... [Username: ${login.username}]\n`)
    invocation.complain("\n Info -> To login with a different account, run 'strata logout' followed by 'strata login'\n\n")
    return login
  } catch (error) {
    if (!isStrataError(error) || (error.code !== 'STRATA_NO_CREDENTIALS' && error.code !== 'STRATA_LOGIN_REFUSED')) throw error
    if (error.code === 'STRATA_LOGIN_REFUSED') invocation.report(error)
    return undefined
  }
}

interface Given {
  readonly server: string | undefined
  readonly username: string | undefined
  readonly password: string | undefined
}

/** Asks for what was not given, at a terminal only. */
async function signIn(invocation: Invocation, engine: Engine, { server, ...given }: Given): Promise<Login> {
  const isComplete = given.username !== undefined && given.password !== undefined
  if (!isComplete && invocation.surroundings.stdin.isTTY !== true) {
    throw new StrataError('invalidArgument', 'STRATA_NOT_A_TERMINAL', 'Cannot perform an interactive login from a non TTY device', {
      hint: 'Use --username and --password-stdin.',
    })
  }
  const username = given.username ?? (await askLine(invocation, 'Username: '))
  const password = given.password ?? (await askSecret(invocation, 'Password: '))
  return engine.login(server, { username, password, signal: invocation.interruption() })
}

/** All of stdin without the end of its last line. */
async function passwordOnStdin({ surroundings }: Invocation): Promise<string> {
  const bytes = await readAtMost(surroundings.stdin, MAX_PASSWORD_BYTES, 'the password on stdin')
  return bytes.toString().replace(/\r?\n$/, '')
}

const misused = (message: string): StrataError => new StrataError('invalidArgument', 'STRATA_FLAGS_CONFLICT', message)
