import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { findCredentials } from './credentials.ts'
import type { Credentials } from './authFile.ts'

const scratch = mkdtempSync(join(tmpdir(), 'strata-credentials-'))
const path = process.env['PATH']

before(() => {
  process.env['PATH'] = `${scratch}:${path}`
  helper('own', `read -r host; echo "{\\"ServerURL\\":\\"$host\\",\\"Username\\":\\"$1 $host\\",\\"Secret\\":\\"s3cret\\"}"`)
  helper('token', `echo '{"Username":"<token>","Secret":"refresh"}'`)
  helper('empty', 'echo "credentials not found in native keychain"; exit 1')
  helper('locked', 'echo "s3cret: the keychain is locked"; exit 3')
  helper('broken', 'echo s3cret')
})
after(() => {
  process.env['PATH'] = path
  rmSync(scratch, { recursive: true })
})

function helper(name: string, script: string): void {
  const program = join(scratch, `docker-credential-${name}`)
  writeFileSync(program, `#!/bin/sh\n${script}\n`)
  chmodSync(program, 0o755)
}

/** Nothing of who runs this. */
const NOBODY = { HOME: join(scratch, 'home') }

function find(config: object, domain: string): Promise<Credentials | undefined> {
  writeFileSync(join(scratch, 'config.json'), JSON.stringify(config))
  return findCredentials(scratch, domain, { env: NOBODY })
}

const auths = { 'r.example': { auth: Buffer.from('file:pass:word').toString('base64') } }

test('findCredentials() asks the helper of a registry, else the store, else the file', async () => {
  const both = { credHelpers: { 'r.example': 'own' }, credsStore: 'token', auths }
  assert.deepEqual(await find(both, 'r.example'), { username: 'get r.example', password: 's3cret' })
  assert.deepEqual(await find(both, 'other.example'), { username: '<token>', identityToken: 'refresh' })
  assert.deepEqual(await find({ auths }, 'r.example'), { username: 'file', password: 'pass:word' })
  assert.deepEqual(await find({ credsStore: 'empty', auths }, 'r.example'), { username: 'file', password: 'pass:word' })
  assert.equal(await find({ credsStore: 'empty' }, 'r.example'), undefined)
  assert.equal(await find({}, 'r.example'), undefined)
})

test('findCredentials() names Docker Hub as docker does', async () => {
  const hub = 'https://index.docker.io/v1/'
  assert.deepEqual(await find({ credsStore: 'own' }, 'docker.io'), { username: `get ${hub}`, password: 's3cret' })
  assert.deepEqual(await find({ auths: { [hub]: auths['r.example'] } }, 'docker.io'), { username: 'file', password: 'pass:word' })
})

test('findCredentials() rejects when the helper of a registry is missing or fails, and never says what it printed', async () => {
  for (const [name, message] of [
    ['none', /docker-credential-none is not installed/],
    ['locked', /docker-credential-locked ended with 3/],
    ['broken', /docker-credential-broken gives no JSON/],
  ] as const) {
    await assert.rejects(find({ credHelpers: { 'r.example': name }, auths }, 'r.example'), error => {
      assert.match(String(error), message)
      assert.equal((error as { code?: string }).code, 'STRATA_CREDENTIAL_HELPER')
      assert.doesNotMatch(JSON.stringify(error) + String(error) + String((error as Error).cause), /s3cret/)
      return true
    })
  }
  await assert.rejects(find({ credHelpers: { 'r.example': '../x' } }, 'r.example'), { code: 'STRATA_CONFIG_INVALID' })
})

test('findCredentials() does without a store that is not on this machine', async () => {
  assert.equal(await find({ credsStore: 'desktop' }, 'r.example'), undefined)
  assert.deepEqual(await find({ credsStore: 'desktop', auths }, 'r.example'), { username: 'file', password: 'pass:word' })
})

const base64 = (text: string): string => Buffer.from(text).toString('base64')
const named = (name: string): { readonly auth: string } => ({ auth: base64(`${name}:pw`) })

/** Who is found for a repository when there is `auth` in podman's file, and `config` in docker's. */
async function nameFor(domain: string, path: string, auth: object, config: object = {}): Promise<string | undefined> {
  const file = join(scratch, 'auth.json')
  writeFileSync(file, JSON.stringify(auth))
  writeFileSync(join(scratch, 'config.json'), JSON.stringify(config))
  return (await findCredentials(scratch, domain, { path, env: { REGISTRY_AUTH_FILE: file } }))?.username
}

test('findCredentials() takes from auth.json what is for the longest namespace around a repository', async () => {
  const auth = {
    auths: { 'r.example': named('host'), 'r.example/a': named('a'), 'r.example/a/b/c': named('c'), 'r.example/a/bb': named('bb') },
  }
  assert.equal(await nameFor('r.example', 'a/b/c', auth), 'c')
  assert.equal(await nameFor('r.example', 'a/b/c/d', auth), 'c')
  assert.equal(await nameFor('r.example', 'a/b', auth), 'a')
  assert.equal(await nameFor('r.example', 'ab', auth), 'host')
  assert.equal(await nameFor('other.example', 'a/b', auth), undefined)
  assert.equal(await nameFor('r.example', 'x', { auths: { 'r.example/a': named('a') } }), undefined)
})

test('findCredentials() knows Docker Hub by each of its names', async () => {
  for (const key of ['docker.io', 'index.docker.io', 'https://index.docker.io/v1/'])
    assert.equal(await nameFor('docker.io', 'library/debian', { auths: { [key]: named('hub') } }), 'hub', key)
  assert.equal(await nameFor('docker.io', 'team/app', { auths: { 'docker.io': named('hub'), 'docker.io/team': named('team') } }), 'team')
})

test('findCredentials() takes what docker has before what podman has, and no namespaces of docker', async () => {
  const auth = { auths: { 'r.example/a': named('podman') } }
  assert.equal(await nameFor('r.example', 'a/b', auth, { auths: { 'r.example': named('docker') } }), 'docker')
  assert.equal(await nameFor('r.example', 'a/b', auth, { auths: { 'r.example': {} } }), 'podman')
  assert.equal(await nameFor('r.example', 'a/b', auth, { auths: { 'other.example': named('docker') } }), 'podman')
})

test('findCredentials() asks the helper that auth.json names, and nobody else', async () => {
  const auth = { credHelpers: { 'r.example': 'own' }, auths: { 'r.example': named('file') } }
  assert.equal(await nameFor('r.example', 'a', auth), 'get r.example')
  assert.equal(await nameFor('r.example', 'a', { ...auth, credHelpers: { 'r.example': 'empty' } }), undefined)
  await assert.rejects(nameFor('r.example', 'a', { ...auth, credHelpers: { 'r.example': 'none' } }), { code: 'STRATA_CREDENTIAL_HELPER' })
})

test('findCredentials() looks for auth.json where podman does: the file that was named, run-time directory, configuration', async () => {
  const files = {
    runtime: join(scratch, 'run/containers/auth.json'),
    config: join(scratch, 'xdg/containers/auth.json'),
    home: join(scratch, 'home/.config/containers/auth.json'),
    named: join(scratch, 'named.json'),
  }
  for (const [name, file] of Object.entries(files)) {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, JSON.stringify({ auths: { [`${name}.example`]: named(name), 'r.example': named(name) } }))
  }
  writeFileSync(join(scratch, 'config.json'), '{}')
  const { HOME } = NOBODY
  const env = { HOME, XDG_RUNTIME_DIR: join(scratch, 'run') }
  const nameIn = async (domain: string, where: Readonly<Record<string, string>>): Promise<string | undefined> =>
    (await findCredentials(scratch, domain, { env: where }))?.username
  assert.equal(await nameIn('r.example', env), 'runtime')
  assert.equal(await nameIn('home.example', env), 'home')
  assert.equal(await nameIn('home.example', { ...env, XDG_CONFIG_HOME: join(scratch, 'xdg') }), undefined)
  assert.equal(await nameIn('config.example', { ...env, XDG_CONFIG_HOME: join(scratch, 'xdg') }), 'config')
  assert.equal(await nameIn('r.example', { ...env, REGISTRY_AUTH_FILE: files.named }), 'named')
  assert.equal(await nameIn('home.example', { ...env, REGISTRY_AUTH_FILE: files.named }), undefined)
})

test('findCredentials() takes the entry of the very name before one that an older tool wrote', async () => {
  const auths = { 'https://r.example/v1/': named('old'), 'r.example': named('new') }
  assert.equal((await find({ auths }, 'r.example'))?.username, 'new')
  assert.equal((await find({ auths: { 'https://r.example/v1/': named('old') } }, 'r.example'))?.username, 'old')
})
