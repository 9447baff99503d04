import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { StrataError } from '../base/index.ts'
import type { Engine, RemoteDocument } from '../engine/index.ts'
import { describeBytes, MEDIA_TYPES } from '../oci/index.ts'
import { strata } from '../../test/cli/strataInTest.ts'

describe('login', () => {
  const never: Engine['login'] = async () => assert.fail('nobody is asked')

  test('wants a password that goes with a user, and one at most', async () => {
    const both = await strata('login -u ann -p x --password-stdin', { login: never })
    assert.deepEqual([both.status, both.stderr], [1, 'strata: conflicting options: cannot specify both --password and --password-stdin\n'])
    const nobody = await strata('login --password-stdin', { login: never }, { stdin: 'x' })
    assert.deepEqual([nobody.status, nobody.stderr], [1, 'strata: the --password-stdin option requires --username to be set\n'])
    const half = await strata('login -u ann r.example', { login: never })
    assert.equal(half.status, 1)
    assert.match(half.stderr, /^strata: Cannot perform an interactive login from a non TTY device\./)
    assert.equal((await strata('login a b', { login: never })).status, 1)
  })

  test('takes the end of the last line from a password on stdin, and nothing else', async () => {
    const seen: unknown[] = []
    const login: Engine['login'] = async (server, options) => {
      seen.push([server, options?.username, options?.password])
      return { server: 'r.example', username: 'ann', keeper: { kind: 'helper', name: 'x' } }
    }
    for (const stdin of ['pw', 'pw\n', 'pw\r\n', ' a\nb \n\n'])
      assert.equal((await strata('login -u ann --password-stdin r.example', { login }, { stdin })).stdout, 'Login Succeeded\n')
    await strata('login -u ann -p pw', { login })
    assert.deepEqual(seen, [...['pw', 'pw', 'pw', ' a\nb \n'].map(password => ['r.example', 'ann', password]), [undefined, 'ann', 'pw']])
    const huge = await strata('login -u ann --password-stdin', { login: never }, { stdin: 'x'.repeat(100_000) })
    assert.match(huge.stderr, /Cannot read the password on stdin: it has more than 65536 bytes/)
  })

  test('does not go on where the registry cannot be asked', async () => {
    const login: Engine['login'] = async () => {
      throw new StrataError('unavailable', 'STRATA_REGISTRY_UNREACHABLE', 'Cannot reach registry "r.example": no')
    }
    const ran = await strata('login r.example', { login })
    assert.deepEqual([ran.status, ran.stdout, ran.stderr], [1, '', 'strata: Cannot reach registry "r.example": no\n'])
  })
})

describe('logout', () => {
  test('says whether there was anything to forget', async () => {
    const logout: Engine['logout'] = async server => ({ server: server ?? 'https://index.docker.io/v1/', removed: server !== undefined })
    assert.equal((await strata('logout r.example', { logout })).stdout, 'Removing login credentials for r.example\n')
    assert.equal((await strata('logout', { logout })).stdout, 'Not logged in to https://index.docker.io/v1/\n')
  })
})

test('tags prints each tag as it comes', async () => {
  const tags: Engine['tags'] = async function* () {
    yield '2'
    yield '10'
    throw new StrataError('unavailable', 'STRATA_REGISTRY_ANSWER', 'Cannot list the tags of "a": broken')
  }
  const ran = await strata('tags a', { tags })
  assert.deepEqual([ran.status, ran.stdout, ran.stderr], [1, '2\n10\n', 'strata: Cannot list the tags of "a": broken\n'])
})

describe('manifest inspect', () => {
  const digest = `sha256:${'0'.repeat(64)}`
  const document = (value: unknown, mediaType: string, more: Partial<RemoteDocument> = {}): RemoteDocument => {
    const bytes = Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
    return { reference: 'docker.io/library/a:1', descriptor: describeBytes(mediaType, bytes), bytes, isEntry: false, ...more }
  }
  const remote = (found: RemoteDocument): Partial<Engine> => ({ remoteManifest: async () => found })
  const all = (...found: readonly RemoteDocument[]): Partial<Engine> => ({
    async *remoteManifests() {
      yield* found
    },
  })
  const manifest = { schemaVersion: 2, layers: [{ size: 1 }], zzz: 1 }

  // docker 28.2.2 printed the outputs that these are like.
  test('shows a manifest with tabs and all its fields', async () => {
    const { stdout } = await strata('manifest inspect a', remote(document(manifest, MEDIA_TYPES.dockerManifest)))
    assert.equal(stdout, '{\n\t"schemaVersion": 2,\n\t"layers": [\n\t\t{\n\t\t\t"size": 1\n\t\t}\n\t],\n\t"zzz": 1\n}\n')
  })

  test('shows an index with three spaces, its entries in docker’s order and then what docker leaves out', async () => {
    const entry = {
      annotations: { k: 'v' },
      platform: { os: 'linux', variant: 'v8', architecture: 'arm64' },
      digest,
      size: 7,
      mediaType: 'm',
    }
    const { stdout } = await strata('manifest inspect a', remote(document({ manifests: [entry] }, MEDIA_TYPES.index)))
    assert.equal(
      stdout,
      [
        '{',
        '   "manifests": [',
        '      {',
        '         "mediaType": "m",',
        '         "size": 7,',
        `         "digest": "${digest}",`,
        '         "platform": {',
        '            "architecture": "arm64",',
        '            "os": "linux",',
        '            "variant": "v8"',
        '         },',
        '         "annotations": {',
        '            "k": "v"',
        '         }',
        '      }',
        '   ]',
        '}',
        '',
      ].join('\n'),
    )
  })

  test('shows any JSON that a registry has, and says of the rest that it is none', async () => {
    for (const value of [{ manifests: [null, 1, { platform: null }] }, { manifests: 'x' }, [], { manifests: [{ platform: 'x' }] }])
      assert.equal((await strata('manifest inspect a', remote(document(value, MEDIA_TYPES.index)))).status, 0)
    for (const text of ['', 'null', '1', '{'])
      assert.match((await strata('manifest inspect a', remote(document(text, MEDIA_TYPES.index)))).stderr, /it is not JSON\n$/)
  })

  test('--verbose shows an image as an object, and those of an index as an array', async () => {
    const platform = { os: 'linux', architecture: 'amd64' }
    const found = document(manifest, MEDIA_TYPES.dockerManifest)
    const image = { ...found, descriptor: { ...found.descriptor, platform } }
    const Descriptor = { ...found.descriptor, platform }
    const Raw = Buffer.from(JSON.stringify(manifest)).toString('base64')
    const one = await strata('manifest inspect -v a', all(image))
    assert.deepEqual(JSON.parse(one.stdout), { Ref: 'docker.io/library/a:1', Descriptor, Raw, SchemaV2Manifest: manifest })
    assert.match(one.stdout, /^\{\n\t"Ref": "docker\.io\/library\/a:1",\n\t"Descriptor": \{\n\t\t"mediaType"/)
    const oci = document(manifest, MEDIA_TYPES.manifest, { isEntry: true })
    const many = await strata('manifest inspect -v a', all({ ...image, isEntry: true }, oci))
    const parsed = JSON.parse(many.stdout) as { OCIManifest?: unknown; Descriptor: { platform: unknown } }[]
    assert.equal(parsed.length, 2)
    assert.deepEqual([parsed[1]?.OCIManifest, parsed[1]?.Descriptor.platform], [manifest, { architecture: '', os: '' }])
    assert.equal(many.stdout, `${JSON.stringify(parsed, undefined, '\t')}\n`)
    assert.equal((await strata('manifest inspect -v a', all())).stdout, '[]\n')
  })
})
