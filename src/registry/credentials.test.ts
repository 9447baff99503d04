import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { findCredentials } from './credentials.ts'

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

function find(config: object, domain: string): ReturnType<typeof findCredentials> {
  writeFileSync(join(scratch, 'config.json'), JSON.stringify(config))
  return findCredentials(scratch, domain)
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
