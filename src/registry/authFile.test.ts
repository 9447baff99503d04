import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import * as fc from 'fast-check'
import { isStrataError } from '../base/index.ts'
import { type AuthFile, readAuthFile } from './authFile.ts'

const scratch = mkdtempSync(join(tmpdir(), 'strata-auth-file-'))
after(() => rmSync(scratch, { recursive: true }))

const path = join(scratch, 'config.json')

function read(text: string | Uint8Array): Promise<AuthFile> {
  writeFileSync(path, text)
  return readAuthFile(path)
}

test('readAuthFile() reads users with passwords and with identity tokens', async () => {
  const auth = (text: string): string => Buffer.from(text).toString('base64')
  const { entries } = await read(
    JSON.stringify({
      auths: {
        a: { auth: auth('ann:s:ecret') },
        b: { auth: auth('bob:'), identitytoken: 'refresh' },
        c: { username: 'cid', password: 'plain' },
        d: {},
        e: { auth: auth('no colon') },
        f: { auth: null, email: 'x' },
      },
    }),
  )
  assert.deepEqual(Object.fromEntries(entries), {
    a: { username: 'ann', password: 's:ecret' },
    b: { username: 'bob', identityToken: 'refresh' },
    c: { username: 'cid', password: 'plain' },
    d: undefined,
    e: undefined,
    f: undefined,
  })
})

test('readAuthFile() takes no file and an empty one for nothing', async () => {
  const nothing = { entries: new Map(), store: undefined, helpers: new Map() }
  assert.deepEqual(await readAuthFile(join(scratch, 'nowhere.json')), nothing)
  for (const text of ['', '{}', '{"auths":null,"credsStore":"","credHelpers":null}']) assert.deepEqual(await read(text), nothing, text)
})

test('readAuthFile() rejects for what is no such file, and says nothing of its text', async () => {
  for (const text of [
    '{"auths":{"r":{"auth":"s3cret"}}',
    's3cret',
    '["s3cret"]',
    'null',
    '{"auths":["s3cret"]}',
    '{"auths":{"s3cret":"s3cret"}}',
    '{"auths":{"r":{"auth":["s3cret"]}}}',
    '{"credHelpers":{"r":{"s3cret":1}}}',
    '{"credsStore":["s3cret"]}',
  ]) {
    await assert.rejects(read(text), (error: Error & { code?: string; cause?: unknown }) => {
      assert.equal(error.code, 'STRATA_CONFIG_INVALID', text)
      assert.doesNotMatch(`${error.message} ${String(error.cause)} ${error.stack}`, /s3cret/)
      return true
    })
  }
})

test('readAuthFile() has nothing for the names of Object’s own methods', async () => {
  const file = await read('{"auths":{"r":{}},"credHelpers":{}}')
  for (const name of ['constructor', 'toString', '__proto__']) {
    assert.equal(file.entries.get(name), undefined)
    assert.equal(file.helpers.get(name), undefined)
  }
  assert.equal((await read('{"auths":{"__proto__":{"username":"x","password":"y"}}}')).entries.get('__proto__')?.username, 'x')
})

const name = fc.constantFrom('r.example', 'constructor', '__proto__', 'a/b')
const any = fc.jsonValue({ maxDepth: 2 })
const entry = fc.oneof(fc.record({ auth: any, identitytoken: any, username: any, password: any }, { requiredKeys: [] }), any)
const config = fc.record(
  { auths: fc.oneof(fc.dictionary(name, entry), any), credHelpers: fc.oneof(fc.dictionary(name, any), any), credsStore: any },
  { requiredKeys: [] },
)

test('property: readAuthFile() gives text, or rejects as for a bad file, whatever is in it', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        config.map(value => JSON.stringify(value)),
        fc.string(),
        fc.uint8Array(),
      ),
      async text => {
        try {
          const { entries, helpers, store } = await read(text)
          for (const credentials of entries.values())
            for (const part of Object.values(credentials ?? {})) assert.equal(typeof part, 'string')
          for (const helper of [...helpers.values(), store ?? '']) assert.equal(typeof helper, 'string')
        } catch (error) {
          assert.ok(isStrataError(error, 'invalidArgument'), String(error))
        }
      },
    ),
    { numRuns: 300 },
  )
})
