import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { sourceOf } from '../support/blobSources.ts'
import { describeBytes, MEDIA_TYPES, parseReference } from '../../src/oci/index.ts'
import { connectRepository, type Repository } from '../../src/registry/index.ts'
import { type LoopbackRegistry, startRegistry } from '../support/loopbackRegistry.ts'
import { startTokenService, type TokenGrant, type TokenRequest, type TokenService } from '../support/tokenService.ts'

const ANN = `Basic ${Buffer.from('ann:s3cret').toString('base64')}`
const BYTES = randomBytes(100_000)
const layer = describeBytes(MEDIA_TYPES.layer, BYTES)

describe('a registry with a token service', () => {
  let grant: (request: TokenRequest) => TokenGrant | undefined
  let service: TokenService
  let registry: LoopbackRegistry
  let configDirectory: string
  before(async () => {
    service = await startTokenService(request => grant(request))
    registry = await startRegistry({ token: service.token })
    configDirectory = await mkdtemp(join(tmpdir(), 'strata-tokens-'))
    await keep({ auth: ANN.slice('Basic '.length) })
  })
  after(async () => {
    await registry[Symbol.asyncDispose]()
    await service[Symbol.asyncDispose]()
    await rm(configDirectory, { recursive: true })
  })

  const keep = (entry: object): Promise<void> =>
    writeFile(join(configDirectory, 'config.json'), JSON.stringify({ auths: { [registry.address]: entry } }))

  const connect = (path: string, access: 'pull' | 'push' = 'push'): Promise<Repository> =>
    connectRepository(parseReference(`${registry.address}/${path}`), { configDirectory, access })

  /** Ann may do everything, others nothing. */
  const everythingForAnn = ({ authorization, scopes }: TokenRequest): TokenGrant | undefined =>
    authorization === ANN ? { scopes } : undefined

  const askedSince = (count: number): readonly string[] => service.requests.slice(count).map(({ scopes }) => scopes.join(' '))

  test('gets one question for a session', async () => {
    grant = everythingForAnn
    const before = service.requests.length
    await using repository = await connect('team/app')
    await repository.put(layer, sourceOf(BYTES))
    assert.equal(await repository.has(layer), true)
    assert.deepEqual(askedSince(before), ['repository:team/app:pull,push'])
  })

  test('gets one question for both repositories when blobs are mounted', async () => {
    grant = everythingForAnn
    await using source = await connect('team/base')
    await source.put(layer, sourceOf(BYTES))
    const before = service.requests.length
    await using target = await connect('team/mounting')
    assert.equal(await target.has(layer), false)
    const mounted = await Promise.all([1, 2, 3].map(() => target.mountFrom(source.name, layer.digest)))
    assert.deepEqual(mounted, [true, true, true])
    assert.equal(await target.has(layer), true)
    assert.deepEqual(askedSince(before), [
      'repository:team/mounting:pull,push',
      'repository:team/mounting:pull,push repository:team/base:pull',
    ])
  })

  for (const [title, refuse] of [
    ['refuses the token', () => undefined],
    ['gives a token without it', ({ scopes }: TokenRequest) => ({ scopes: scopes.filter(scope => !scope.includes('secret')) })],
  ] as const) {
    test(`a source that the token service ${title} for is no source, and the push goes on`, async () => {
      grant = everythingForAnn
      await using secret = await connect('secret/base')
      await secret.put(layer, sourceOf(BYTES))
      grant = request => (request.scopes.some(scope => scope.includes('secret')) ? refuse(request) : everythingForAnn(request))
      const path = `team/${title.replaceAll(' ', '-')}`
      await using repository = await connect(path)
      assert.equal(await repository.has(layer), false)
      assert.equal(await repository.mountFrom(secret.name, layer.digest), false)
      const before = service.requests.length
      await repository.put(layer, sourceOf(BYTES))
      assert.equal(await repository.has(layer), true)
      assert.deepEqual(askedSince(before), [], 'the token for the repository alone is still good')
    })
  }

  test('a token that is over when it comes is asked for again by the next request', async () => {
    let given = 0
    grant = request => ({ ...everythingForAnn(request)!, isExpired: (given += 1) === 1 })
    await using repository = await connect('team/app')
    await assert.rejects(repository.has(layer), { kind: 'unauthorized' })
    assert.equal(await repository.has(layer), true)
    assert.equal(given, 2)
  })

  test('a token is renewed before its time is over, also for a body that can be sent only once', async () => {
    grant = request => ({ ...everythingForAnn(request)!, expiresInSeconds: 0.5 })
    const bytes = randomBytes(1000)
    const target = describeBytes(MEDIA_TYPES.layer, bytes)
    await using repository = await connect('team/slow')
    assert.equal(await repository.has(target), false)
    const before = service.requests.length
    await sleep(500)
    await repository.put(target, sourceOf(bytes))
    assert.equal(await repository.has(target), true)
    assert.equal(askedSince(before).length, 1)
  })

  test('an identity token is what the service is asked with when there is one', async () => {
    await keep({ auth: Buffer.from('ann:').toString('base64'), identitytoken: 'refresh-me' })
    grant = ({ parameters, scopes }) => (parameters.get('refresh_token') === 'refresh-me' ? { scopes } : undefined)
    const before = service.requests.length
    await using repository = await connect('team/app', 'pull')
    assert.equal(await repository.has(layer), true)
    const [asked] = service.requests.slice(before)
    assert.equal(asked?.method, 'POST')
    assert.equal(asked.authorization, undefined)
    assert.deepEqual(Object.fromEntries(asked.parameters), {
      grant_type: 'refresh_token',
      refresh_token: 'refresh-me',
      client_id: 'strata',
      service: 'registry.test',
      scope: 'repository:team/app:pull',
    })
    grant = () => undefined
    await using refused = await connect('team/app', 'pull')
    await assert.rejects(refused.has(layer), (error: Error & { kind?: string }) => {
      assert.equal(error.kind, 'unauthorized')
      assert.doesNotMatch(JSON.stringify(error) + String(error) + String(error.cause), /refresh-me/)
      return true
    })
    await keep({ auth: ANN.slice('Basic '.length) })
  })

  test('a repository that the user may not write to is told as such', async () => {
    grant = ({ scopes }) => ({ scopes: scopes.map(scope => scope.replace(',push', '')) })
    await using repository = await connect('team/readonly')
    await assert.rejects(repository.put(layer, sourceOf(BYTES)), { kind: 'unauthorized', message: /UNAUTHORIZED|DENIED/ })
  })
})
