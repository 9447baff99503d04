import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { formatReference } from '../../src/oci/index.ts'
import { aliasedReference, connectRepository } from '../../src/registry/index.ts'
import { machineFiles } from '../support/machineFiles.ts'

let scratch: string
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'strata-config-files-'))
})
after(() => rm(scratch, { recursive: true, force: true }))

const SYSTEM = 'etc/containers/registries.conf'
const USER = 'config/containers/registries.conf'

/** Who of several files, each of which says that `x` stands for its own name, is believed. */
async function believed(paths: readonly string[], named?: string): Promise<string | undefined> {
  const nameOf = (path: string): string => `${path.replaceAll('/', '-').replaceAll('.', '-')}.test`
  const files = await machineFiles(scratch, Object.fromEntries(paths.map(path => [path, `[aliases]\nx = "${nameOf(path)}/x"\n`])))
  const variables = named === undefined ? {} : { CONTAINERS_REGISTRIES_CONF: join(files.systemDirectory, '..', named) }
  const reference = await aliasedReference('x', { ...files, variables })
  return paths.find(path => reference?.domain === nameOf(path))
}

test('of several registries.conf the user’s is before the machine’s, drop-ins before both, the last of them first', async () => {
  assert.equal(await believed([]), undefined)
  assert.equal(await believed([SYSTEM]), SYSTEM)
  assert.equal(await believed([SYSTEM, USER]), USER)
  assert.equal(await believed([SYSTEM, `${SYSTEM}.d/a.conf`]), `${SYSTEM}.d/a.conf`)
  assert.equal(await believed([SYSTEM, `${SYSTEM}.d/b.conf`, `${SYSTEM}.d/a.conf`]), `${SYSTEM}.d/b.conf`)
  assert.equal(await believed([SYSTEM, `${SYSTEM}.d/b.conf`, `${USER}.d/a.conf`]), `${USER}.d/a.conf`)
  assert.equal(await believed([SYSTEM, `${SYSTEM}.d/a.toml`]), SYSTEM)
})

test('with a file of the user’s the machine’s drop-ins do not count; one that $CONTAINERS_REGISTRIES_CONF names is in the place of both', async () => {
  assert.equal(await believed([USER, `${SYSTEM}.d/a.conf`]), USER)
  assert.equal(await believed([SYSTEM, USER, 'named.conf'], 'named.conf'), 'named.conf')
  assert.equal(await believed([USER, 'named.conf', `${SYSTEM}.d/a.conf`], 'named.conf'), `${SYSTEM}.d/a.conf`)
  await assert.rejects(believed([SYSTEM], 'named.conf'), { code: 'STRATA_CONFIG_INVALID', message: /CONTAINERS_REGISTRIES_CONF/ })
})

test('an alias keeps the tag and the digest of the short name; what names a registry is no short name', async () => {
  const files = await machineFiles(scratch, {
    [SYSTEM]: '[aliases]\nx = "a.test/y"\n"x/z" = "a.test/z"\n"a.test/x" = "b.test/x"\nlocalhost = "b.test/x"',
  })
  const digest = `sha256:${'0'.repeat(64)}`
  for (const [text, expected] of [
    ['x', 'a.test/y'],
    ['x:1', 'a.test/y:1'],
    [`x:1@${digest}`, `a.test/y:1@${digest}`],
    ['x/z', 'a.test/z'],
    ['library/x', undefined],
    ['docker.io/x', undefined],
    ['a.test/x', undefined],
    ['localhost/x', undefined],
    ['localhost:5000/x', undefined],
    ['X', undefined],
    ['', undefined],
  ] as const) {
    const reference = await aliasedReference(text, files)
    assert.equal(reference === undefined ? undefined : formatReference(reference), expected, text)
  }
})

test('a file that is no configuration is told by its name, and not read without end', async () => {
  const reference = { domain: '127.0.0.1:1', path: 'app' }
  for (const [path, content, state] of [
    [SYSTEM, '# a comment\n[[registry]\n', /line \d+ is not TOML/],
    [SYSTEM, `x = "${'x'.repeat(2 ** 20)}"`, /more than 1048576 bytes/],
    ['etc/docker/daemon.json', '{', /is not JSON/],
    ['etc/docker/daemon.json', '[]', /is no table/],
    ['etc/containerd/certs.d/127.0.0.1_1_/hosts.toml', 'server', /is not TOML/],
  ] as const)
    await assert.rejects(
      connectRepository(reference, { ...(await machineFiles(scratch, { [path]: content })), access: 'pull' }),
      { code: 'STRATA_CONFIG_INVALID', message: state },
      path,
    )
})
