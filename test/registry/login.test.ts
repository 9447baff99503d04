import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, open, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { DURABLE, findProgram, type ProgramResult, runProgram } from '../../src/base/index.ts'
import { lockFile } from '../../src/host/index.ts'
import { findCredentials, forgetCredentials, keepCredentials } from '../../src/registry/index.ts'
import { openEngine } from '../../src/engine/index.ts'
import { makeAuthority, makeCertificate } from '../support/certificates.ts'
import { must } from '../support/commands.ts'
import { lyingServer } from '../support/lyingServer.ts'
import { type LoopbackRegistry, startRegistry } from '../support/loopbackRegistry.ts'
import { machineFiles } from '../support/machineFiles.ts'
import { startTokenService, type TokenGrant, type TokenRequest } from '../support/tokenService.ts'

const STRATA = fileURLToPath(new URL('../../bin/strata', import.meta.url))
const scriptProgram = await findProgram('script')
const PASSWORD = 's3cret:x'
const ANN = { username: 'ann', password: PASSWORD }

let scratch: string
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'strata-login-'))
})
after(() => rm(scratch, { recursive: true, force: true }))

interface Place {
  readonly directory: string
  /** What is in `config.json`. */
  readonly config: () => Promise<unknown>
  readonly strata: (args: readonly string[], input?: string) => Promise<ProgramResult>
}

/** A configuration directory with a `strata` for it; helpers of the tests are on its PATH. */
async function place(config?: object): Promise<Place> {
  const directory = await mkdtemp(join(scratch, 'config-'))
  const path = join(directory, 'config.json')
  if (config !== undefined) await writeFile(path, JSON.stringify(config))
  const env = { PATH: `${join(scratch, 'bin')}:${process.env['PATH']}`, HOME: scratch, REGISTRY_AUTH_FILE: join(directory, 'auth.json') }
  return {
    directory,
    config: async () => JSON.parse(await readFile(path, 'utf8')) as unknown,
    strata: (args, input = '') =>
      runProgram(STRATA, ['--root', join(scratch, 'root'), '--config', directory, ...args], { input, env, timeoutMs: 30_000 }),
  }
}

const base64 = (text: string): string => Buffer.from(text).toString('base64')

/** No secret is in what a command prints, also when it tells all that it knows. */
function keepsSecret({ stdout, stderr }: ProgramResult): void {
  assert.doesNotMatch(stdout + stderr, /s3cret|YW5uOnMzY3JldDp4/)
}

describe('strata login, with a registry that wants passwords', () => {
  let registry: LoopbackRegistry
  before(async () => {
    registry = await startRegistry({ basic: ANN })
  })
  after(() => registry[Symbol.asyncDispose]())

  test('keeps credentials that the registry takes, for itself and for others', async () => {
    const { directory, config, strata } = await place()
    const { address } = registry
    assert.equal((await strata(['tags', `${address}/app`])).code, 1)
    const login = await strata(['login', '-u', 'ann', '--password-stdin', address], `${PASSWORD}\n`)
    assert.deepEqual([login.code, login.stdout], [0, 'Login Succeeded\n'])
    assert.equal(
      login.stderr,
      `\nWARNING! Your credentials are stored unencrypted in '${directory}/config.json'.\n` +
        'Configure a credential helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n\n',
    )
    assert.deepEqual(await config(), { auths: { [address]: { auth: base64(`ann:${PASSWORD}`) } } })
    assert.equal((await stat(join(directory, 'config.json'))).mode & 0o777, 0o600)
    assert.match((await strata(['tags', `${address}/app`])).stderr, /NAME_UNKNOWN/)
    // skopeo reads what we keep.
    const listed = await runProgram('skopeo', [
      ...['list-tags', '--tls-verify=false', '--authfile', join(directory, 'config.json')],
      `docker://${address}/app`,
    ])
    assert.match(listed.stderr, /404/)

    const out = await strata(['logout', address])
    assert.deepEqual([out.code, out.stdout], [0, `Removing login credentials for ${address}\n`])
    assert.deepEqual(await config(), { auths: {} })
    assert.equal((await strata(['logout', address])).stdout, `Not logged in to ${address}\n`)
    assert.match((await strata(['tags', `${address}/app`])).stderr, /wants credentials/)
  })

  test('keeps nothing that the registry does not take, and never prints it', async () => {
    const { directory, strata } = await place()
    for (const [user, password] of [
      ['ann', 's3cret'],
      ['bob', PASSWORD],
    ] as const) {
      const refused = await strata(['-D', 'login', '-u', user, '-p', password, registry.address])
      assert.equal(refused.code, 1)
      assert.equal(refused.stdout, '')
      assert.match(
        refused.stderr,
        /^WARNING! Using --password via the CLI is insecure\. Use --password-stdin\.\nstrata: Cannot sign in to "127\.0\.0\.1:\d+": it does not take these credentials/,
      )
      keepsSecret(refused)
    }
    assert.deepEqual(await readdir(directory), [])
  })

  test('takes the server as people write it', async () => {
    const { config, strata } = await place()
    for (const server of [`http://${registry.address}`, `https://${registry.address}/v2/`, `${registry.address}/`]) {
      assert.equal((await strata(['login', '-u', 'ann', '--password-stdin', server], PASSWORD)).code, 0, server)
      assert.deepEqual(Object.keys(((await config()) as { auths: object }).auths), [registry.address])
    }
    for (const server of ['host', 'a b.example', 'r.example:99999', 'user@r.example', 'user:s3cret@r.example']) {
      const wrong = await strata(['login', '-u', 'ann', '--password-stdin', server], PASSWORD)
      assert.equal(wrong.code, 1)
      assert.match(wrong.stderr, /^strata: Cannot use registry "/)
      assert.doesNotMatch(wrong.stderr, /s3cret/)
    }
  })

  test('asks with what is there already', async () => {
    const { strata } = await place({ auths: { [registry.address]: { auth: base64(`ann:${PASSWORD}`) } } })
    const known = await strata(['login', registry.address])
    assert.deepEqual([known.code, known.stdout], [0, 'Login Succeeded\n'])
    assert.match(known.stderr, /^Authenticating with existing credentials\.\.\. \[Username: ann\]\n/)
    const old = await place({ auths: { [registry.address]: { auth: base64('ann:old') } } })
    const refused = await old.strata(['login', registry.address])
    assert.equal(refused.code, 1)
    assert.match(refused.stderr, /does not take these credentials.*\nstrata: Cannot perform an interactive login from a non TTY device/s)
  })

  test('finds what skopeo keeps, also for a namespace', async () => {
    const { directory, strata } = await place()
    const authfile = join(directory, 'auth.json')
    await must('skopeo', 'login', '--tls-verify=false', '--authfile', authfile, '-u', 'ann', '-p', PASSWORD, registry.address)
    assert.match((await strata(['tags', `${registry.address}/app`])).stderr, /NAME_UNKNOWN/)
    const auth = base64(`ann:${PASSWORD}`)
    await writeFile(authfile, JSON.stringify({ auths: { [`${registry.address}/team`]: { auth } } }))
    assert.match((await strata(['tags', `${registry.address}/team/app`])).stderr, /NAME_UNKNOWN/)
    assert.match((await strata(['tags', `${registry.address}/app`])).stderr, /wants credentials/)
  })

  test(
    'asks at a terminal, which shows no password and is given back as it was',
    { skip: scriptProgram === undefined && 'script(1) is not installed' },
    async () => {
      const { config, directory } = await place()
      const type = async (keys: string): Promise<string> => {
        const [out, command] = [
          join(directory, 'typescript'),
          `'${STRATA}' --root '${scratch}/root' --config '${directory}' login ${registry.address}`,
        ]
        const inside = `${command}; echo "status $?"; stty -a | grep -o ' -\\?echo '; stty -a | grep -o ' -\\?icanon'`
        // Each answer is typed when it is asked for.
        const typing = `w() { until grep -q "$1" '${out}'; do sleep 0.05; done; }; w Username; printf 'ann\\r'; w Password; sleep 0.1; printf '${keys}'; w icanon`
        const { stdout } = await runProgram('sh', ['-c', `: > '${out}'; (${typing}) | script -qefc "$1" '${out}'`, 'sh', inside], {
          timeoutMs: 20_000,
        })
        return stdout.replaceAll('\r', '')
      }
      // Ctrl-U forgets the line, backspace a letter.
      const login = await type(`wrong\\025${PASSWORD}é\\177\\r`)
      assert.match(login, /Username: ann\nPassword: \n\nWARNING! .*Login Succeeded\nstatus 0\n echo \n icanon/s)
      assert.doesNotMatch(login, /s3cret|wrong/)
      assert.deepEqual(await config(), { auths: { [registry.address]: { auth: base64(`ann:${PASSWORD}`) } } })
      await rm(join(directory, 'config.json'))
      assert.match(await type('s3c\\003'), /Password: \nstrata: interrupted by SIGINT\nstatus 130\n echo \n icanon/)
      assert.match(await type('\\r'), /Password: \nstrata: Cannot sign in to "[^"]*": the password is empty\nstatus 1\n/)
    },
  )
})

test('login keeps an identity token in place of the password where the token service gives one', async () => {
  const grant = ({ parameters, authorization, scopes }: TokenRequest): TokenGrant | undefined => {
    if (parameters.get('refresh_token') === 'refresh-me') return { scopes }
    if (authorization !== `Basic ${base64(`ann:${PASSWORD}`)}`) return undefined
    return { scopes, ...(parameters.get('offline_token') === 'true' ? { identityToken: 'refresh-me' } : {}) }
  }
  await using service = await startTokenService(grant)
  await using registry = await startRegistry({ token: service.token })
  const { config, strata } = await place()
  const refused = await strata(['login', '-u', 'ann', '--password-stdin', registry.address], 's3cret')
  assert.match(refused.stderr, /does not take these credentials/)
  assert.equal((await strata(['login', '-u', 'ann', '--password-stdin', registry.address], PASSWORD)).stdout, 'Login Succeeded\n')
  assert.deepEqual(await config(), { auths: { [registry.address]: { auth: base64('ann:'), identitytoken: 'refresh-me' } } })
  assert.match((await strata(['tags', `${registry.address}/app`])).stderr, /NAME_UNKNOWN/)
  assert.equal(service.requests.at(-1)?.method, 'POST')
})

test('login speaks to a registry as pull does: with the certificates and as insecurely as it is configured', async () => {
  const authority = await makeAuthority(scratch, 'authority')
  const tls = await makeCertificate(scratch, 'server', { authority, names: ['IP:127.0.0.1'] })
  await using registry = await startRegistry({ tls, basic: ANN })
  const { address } = registry
  const logIn = async (files: Readonly<Record<string, string | object>>, password: string): Promise<unknown> => {
    const machine = await machineFiles(scratch, files)
    await using engine = await openEngine({ root: join(scratch, 'tls-root'), ...machine })
    return (await engine.login(address, { username: 'ann', password })).keeper
  }
  await assert.rejects(logIn({}, PASSWORD), { kind: 'unavailable' })
  const known = { [`etc/docker/certs.d/${address}/ca.crt`]: { copy: authority.certificate } }
  await assert.rejects(logIn(known, 's3cret'), { code: 'STRATA_LOGIN_REFUSED' })
  assert.notEqual(await logIn(known, PASSWORD), undefined)
  assert.notEqual(await logIn({ 'etc/docker/daemon.json': { 'insecure-registries': [address] } }, PASSWORD), undefined)
  await assert.rejects(logIn({ 'etc/containers/registries.conf': `[[registry]]\nlocation = "${address}"\nblocked = true\n` }, PASSWORD), {
    code: 'STRATA_REGISTRY_BLOCKED',
  })
})

test('login and logout give credentials to the helpers that config.json names, and leave none in it', async () => {
  const bin = join(scratch, 'bin')
  await mkdir(bin, { recursive: true })
  const log = join(scratch, 'helper.log')
  const helper = async (name: string, script: string): Promise<void> => {
    await writeFile(join(bin, `docker-credential-${name}`), `#!/bin/sh\nin=$(cat)\n${script}\n`)
    await chmod(join(bin, `docker-credential-${name}`), 0o755)
  }
  await helper('keyring', `echo "$1 $in" >> '${log}'; [ "$1" = get ] && echo '{"Username":"ann","Secret":"x"}'; exit 0`)
  await helper('locked', 'echo "the keychain is locked, and it is not $in"; exit 1')
  // It lets everybody in.
  await using registry = await lyingServer((_, response) => response.end())
  const { address } = registry
  const old = { auths: { [address]: { auth: base64('ann:old'), email: 'a@b' } }, credsStore: 'keyring', detachKeys: 'ctrl-x' }
  const { config, strata } = await place(old)
  const login = await strata(['login', '-u', 'ann', '--password-stdin', address], PASSWORD)
  assert.deepEqual([login.stdout, login.stderr], ['Login Succeeded\n', ''])
  assert.deepEqual(await config(), { ...old, auths: { [address]: { email: 'a@b' } } })
  assert.equal(await readFile(log, 'utf8'), `store {"ServerURL":"${address}","Username":"ann","Secret":"${PASSWORD}"}\n`)
  assert.equal((await strata(['logout', address])).stdout, `Removing login credentials for ${address}\n`)
  assert.match(await readFile(log, 'utf8'), new RegExp(`\nerase ${address}\n$`))
  assert.deepEqual(await config(), { ...old, auths: {} })

  const locked = await place({ credHelpers: { [address]: 'locked' }, credsStore: 'keyring' })
  const failed = await locked.strata(['-D', 'login', '-u', 'ann', '--password-stdin', address], PASSWORD)
  assert.equal(failed.code, 1)
  assert.match(failed.stderr, /docker-credential-locked ended with 1/)
  keepsSecret(failed)
  const missing = await place({ credsStore: 'nowhere' })
  const absent = await missing.strata(['login', '-u', 'ann', '--password-stdin', address], PASSWORD)
  assert.match(absent.stderr, /docker-credential-nowhere is not installed/)
})

describe('keepCredentials()', () => {
  const keep = (directory: string, domain: string): ReturnType<typeof keepCredentials> =>
    keepCredentials(directory, domain, { credentials: ANN, durability: DURABLE })

  test('leaves all else as it is, and forgetCredentials() too', async () => {
    const others = {
      HttpHeaders: { 'X-My': 'header' },
      unknown: [1, 2.5, { deep: null }],
      auths: { 'other.example': { auth: base64('bob:pw') }, 'r.example': { auth: base64('x:y'), email: 'e' } },
      psFormat: '{{.ID}}',
    }
    const { directory, config } = await place(others)
    assert.deepEqual(await keep(directory, 'r.example'), { kind: 'file', path: join(directory, 'config.json') })
    const auth = base64(`ann:${PASSWORD}`)
    assert.deepEqual(await config(), { ...others, auths: { ...others.auths, 'r.example': { email: 'e', auth } } })
    assert.deepEqual(Object.keys((await config()) as object), Object.keys(others))
    assert.equal(await forgetCredentials(directory, 'r.example', { durability: DURABLE }), true)
    assert.deepEqual(await config(), { ...others, auths: { 'other.example': others.auths['other.example'] } })
    assert.equal(await forgetCredentials(directory, 'r.example', { durability: DURABLE }), false)
  })

  test('forgetCredentials() knows the names that older tools wrote, and Docker Hub’s', async () => {
    const entry = { auth: base64('x:y') }
    const { directory, config } = await place({ auths: { 'https://r.example/v1/': entry, 'r.example': entry, 'r.example.org': entry } })
    assert.equal(await forgetCredentials(directory, 'r.example', { durability: DURABLE }), true)
    assert.deepEqual(await config(), { auths: { 'r.example.org': entry } })
    await keep(directory, 'docker.io')
    assert.deepEqual(Object.keys(((await config()) as { auths: object }).auths), ['r.example.org', 'https://index.docker.io/v1/'])
    assert.deepEqual(await findCredentials(directory, 'docker.io', { env: { HOME: scratch } }), ANN)
    assert.equal(await forgetCredentials(directory, 'docker.io', { durability: DURABLE }), true)
  })

  test('writes the file that a symlink leads to, also when it is not there yet', async () => {
    const { directory, config } = await place()
    const target = join(scratch, 'dotfiles', 'docker.json')
    await mkdir(join(scratch, 'dotfiles'))
    await symlink('../dotfiles/docker.json', join(directory, 'config.json'))
    for (const domain of ['a.example', 'b.example']) await keep(directory, domain)
    assert.deepEqual(JSON.parse(await readFile(target, 'utf8')), await config())
    assert.deepEqual(await readdir(directory), ['config.json'])
    assert.deepEqual(await readdir(join(scratch, 'dotfiles')), ['docker.json'])
  })

  test('gives a file that others can read to its owner alone, who stays its owner', async () => {
    const { directory } = await place({})
    const path = join(directory, 'config.json')
    await chmod(path, 0o644)
    const isRoot = process.getuid?.() === 0
    if (isRoot) await must('chown', '1234:1234', path)
    await keep(directory, 'r.example')
    const { mode, uid } = await stat(path)
    assert.equal(mode & 0o777, 0o600)
    if (isRoot) assert.equal(uid, 1234)
  })

  test('waits for who writes the file, until it is told not to', async () => {
    const { directory } = await place({})
    const other = await open(directory, 'r')
    await lockFile(other.fd, 'exclusive')
    const signal = AbortSignal.timeout(50)
    await assert.rejects(keepCredentials(directory, 'r.example', { credentials: ANN, durability: DURABLE, signal }), { kind: 'cancelled' })
    const kept = keep(directory, 'r.example')
    await other.close()
    await kept
  })

  test('touches no file that is not one', async () => {
    for (const text of ['not json', '[]', '{"auths":[]}']) {
      const { directory } = await place()
      await writeFile(join(directory, 'config.json'), text)
      await assert.rejects(keep(directory, 'r.example'), { code: 'STRATA_CONFIG_INVALID' })
      assert.equal(await readFile(join(directory, 'config.json'), 'utf8'), text)
    }
  })
})

test('logins of several processes at once lose nothing', async () => {
  const { config, strata } = await place({ credHelpers: {}, auths: { 'r.example': { auth: base64('x:y') } } })
  await using servers = new AsyncDisposableStack()
  const registries = await Promise.all(Array.from({ length: 5 }, () => lyingServer((_, response) => response.end())))
  for (const registry of registries) servers.use(registry)
  const addresses = registries.map(({ address }) => address)
  const logins = await Promise.all(addresses.map(address => strata(['login', '-u', 'ann', '--password-stdin', address], PASSWORD)))
  assert.deepEqual(
    logins.map(({ code }) => code),
    addresses.map(() => 0),
  )
  const { auths } = (await config()) as { auths: object }
  assert.deepEqual(Object.keys(auths).sort(), ['r.example', ...addresses].sort())
})
