import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { helloExecutable } from '../../scripts/fixtures/helloExecutable.ts'
import { mount, unmount } from '../../src/host/index.ts'
import { describeBytes, digestOf, MEDIA_TYPES } from '../../src/oci/index.ts'
import { must, strata } from '../support/commands.ts'
import { tarOf } from '../support/tars.ts'

/*
 * What people meet: each case is one command, one sentence on stderr, docker's exit code, and a store
 * in which nothing of it is visible.
 */

const isRoot = process.getuid?.() === 0

let scratch: string
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'strata-bad-'))
})
after(() => rm(scratch, { recursive: true, force: true }))

async function freshRoot(): Promise<string> {
  return join(await mkdtemp(join(scratch, 'store-')), 'root')
}

const LAYER = tarOf({ hello: helloExecutable('hello') })
const diffId = digestOf(LAYER)

function configOf(diffIds: readonly string[]): Buffer {
  return Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: diffIds } }))
}

function dockerArchive(
  overrides: Readonly<Record<string, Uint8Array | { readonly link: string }>> = {},
  config = configOf([diffId]),
): Buffer {
  const manifest = [{ Config: 'config.json', RepoTags: ['test/app:1'], Layers: ['layer.tar'] }]
  return tarOf({ 'config.json': config, 'layer.tar': LAYER, 'manifest.json': Buffer.from(JSON.stringify(manifest)), ...overrides })
}

/** The command fails in one sentence that says what and why, and the store has no image. */
async function fails(
  root: string,
  args: readonly string[],
  expected: { readonly message: RegExp; readonly code?: number; readonly input?: Uint8Array },
): Promise<void> {
  const result = await strata(['--root', root, ...args], expected.input)
  assert.match(result.stderr, expected.message)
  assert.equal(result.code, expected.code ?? 1, result.stderr)
  assert.doesNotMatch(result.stderr, /\n\s+at |TypeError|node:internal/, 'no stack trace')
  assert.equal(result.stderr.trim().split('\n').length, 1, result.stderr)
  const images = await strata(['--root', root, 'images', '--all', '--quiet'])
  assert.equal(images.stdout, '', 'nothing is half-visible')
}

describe('load', () => {
  const load = async (archive: Uint8Array, message: RegExp): Promise<void> =>
    fails(await freshRoot(), ['load'], { message, input: archive })

  test('takes the archive that the bad ones below are made from', async () => {
    const root = await freshRoot()
    const { code, stdout, stderr } = await strata(['--root', root, 'load'], dockerArchive())
    assert.equal(code, 0, stderr)
    assert.equal(stdout, 'Loaded image: test/app:1\n')
  })

  test('says that there is no such file', async () => {
    await fails(await freshRoot(), ['load', '-i', join(scratch, 'nowhere.tar')], { message: /Cannot read .*nowhere\.tar": no such file/ })
  })

  test('refuses a truncated archive', () => load(dockerArchive().subarray(0, 1500), /Cannot .*: .*(end|truncated|lack|has neither)/))
  test('refuses what is no archive', () => load(Buffer.from('this is no archive, '.repeat(100)), /Cannot /))
  test('refuses an empty file', () => load(Buffer.alloc(0), /Cannot load /))
  test('refuses a layer that is not what the config says (hostile #53)', () =>
    load(
      dockerArchive({ 'layer.tar': tarOf({ other: Buffer.from('x') }) }),
      /Cannot apply layer sha256:[0-9a-f]{64}: its bytes are those of/,
    ))
  test('refuses a config with another number of layers (hostile #53)', () =>
    load(dockerArchive({}, configOf([diffId, diffId])), /has 2 layers and manifest\.json has 1/))
  test('refuses a config that is no JSON', () => load(dockerArchive({}, Buffer.from('{')), /Cannot read image config/))
  test('names what an archive lacks (hostile #65)', () =>
    load(
      tarOf({ 'manifest.json': Buffer.from('[{"Config":"gone.json","RepoTags":null,"Layers":[]}]') }),
      /names "gone\.json", which it does not have/,
    ))
  test('reads no file outside of the archive through a link (hostile #63)', () =>
    load(dockerArchive({ 'config.json': { link: '../../../../etc/passwd' } }), /names "config\.json", which it does not have/))
  test('refuses legacy ids that are paths (hostile #62)', () =>
    load(tarOf({ repositories: Buffer.from('{"a":{"b":"../../etc"}}') }), /is no layer id/))
  test('refuses an OCI layout whose blob is another (hostile #52)', () => {
    const config = configOf([diffId])
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.manifest,
        config: describeBytes(MEDIA_TYPES.config, config),
        layers: [describeBytes(MEDIA_TYPES.layer, LAYER)],
      }),
    )
    const described = describeBytes(MEDIA_TYPES.manifest, manifest)
    const blob = (digest: string): string => `blobs/sha256/${digest.slice(7)}`
    return load(
      tarOf({
        'oci-layout': Buffer.from('{"imageLayoutVersion":"1.0.0"}'),
        'index.json': Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [described] })),
        [blob(described.digest)]: manifest,
        [blob(digestOf(config))]: Buffer.concat([config.subarray(0, -1), Buffer.from(' ')]),
        [blob(diffId)]: LAYER,
      }),
      /is not what its digest says/,
    )
  })

  test('follows links inside an archive, as old docker archives have them (hostile #63)', async () => {
    const root = await freshRoot()
    const archive = tarOf({
      'config.json': configOf([diffId]),
      'a/layer.tar': LAYER,
      'b/layer.tar': { link: '../a/layer.tar' },
      'manifest.json': Buffer.from('[{"Config":"config.json","RepoTags":["linked:1"],"Layers":["b/layer.tar"]}]'),
    })
    const { code, stderr } = await strata(['--root', root, 'load'], archive)
    assert.equal(code, 0, stderr)
  })

  test('reads archives from before Docker 1.10', async () => {
    const root = await freshRoot()
    const [base, top] = ['a'.repeat(64), 'b'.repeat(64)]
    const archive = tarOf({
      [`${base}/json`]: Buffer.from(
        JSON.stringify({ id: base, created: '2014-01-01T00:00:00Z', container_config: { Cmd: ['/bin/sh', '-c', '#(nop) ADD'] } }),
      ),
      [`${base}/layer.tar`]: LAYER,
      [`${top}/json`]: Buffer.from(
        JSON.stringify({
          id: top,
          parent: base,
          created: '2014-02-01T00:00:00Z',
          config: { Cmd: ['/hello'] },
          architecture: 'amd64',
          os: 'linux',
        }),
      ),
      [`${top}/layer.tar`]: tarOf({ second: Buffer.from('2') }),
      repositories: Buffer.from(JSON.stringify({ 'old/app': { '1': top } })),
    })
    const loaded = await strata(['--root', root, 'load'], archive)
    assert.equal(loaded.stdout, 'Loaded image: old/app:1\n', loaded.stderr)
    const inspected = await strata([
      '--root',
      root,
      'inspect',
      '--format',
      '{{json .Config.Cmd}} {{len .RootFS.Layers}} {{.Created}}',
      'old/app:1',
    ])
    assert.equal(inspected.stdout, '["/hello"] 2 2014-02-01T00:00:00Z\n')
  })

  test('takes compressed archives', async () => {
    const root = await freshRoot()
    const path = join(scratch, 'app.tar')
    await writeFile(path, dockerArchive())
    for (const program of ['gzip', 'xz', 'bzip2', 'zstd']) {
      await must(program, '--keep', '--force', path)
      const suffix = { gzip: 'gz', xz: 'xz', bzip2: 'bz2', zstd: 'zst' }[program]!
      const { code, stderr } = await strata(['--root', root, 'load', '-i', `${path}.${suffix}`])
      assert.equal(code, 0, stderr)
    }
  })
})

describe('import', () => {
  const imports = async (tar: Uint8Array, message: RegExp): Promise<void> =>
    fails(await freshRoot(), ['import', '-'], { message, input: tar })

  test('refuses a truncated tar', () => imports(LAYER.subarray(0, 600), /Cannot .*: .*(truncated|end|middle)/))
  test('refuses what is no tar', () => imports(Buffer.from('no tar at all, '.repeat(100)), /Cannot /))
  test('refuses a whiteout that leaves its directory (hostile #29)', () => imports(tarOf({ 'a/.wh...': Buffer.alloc(0) }), /Cannot /))
  test('keeps names that lead out of the root inside it (hostile #1, #2)', async () => {
    const root = await freshRoot()
    const victim = join(scratch, 'victim')
    await mkdir(victim)
    const tar = tarOf({ away: { link: victim }, 'away/owned': Buffer.from('x'), [`../../../..${victim}/owned`]: Buffer.from('x') })
    await strata(['--root', root, 'import', '-'], tar)
    await assert.rejects(readFile(join(victim, 'owned')), { code: 'ENOENT' })
  })
  test('says which reference cannot be one', async () => {
    await fails(await freshRoot(), ['import', '-', 'Upper:1'], { message: /Cannot parse reference "Upper:1"/, input: LAYER })
  })
  test('says which instruction cannot be read', async () => {
    await fails(await freshRoot(), ['import', '--change', 'RUN x', '-'], { message: /Cannot read instruction "RUN x"/, input: LAYER })
  })
})

describe('a missing image', () => {
  for (const [args, code] of [
    [['run', '--pull', 'never', 'nowhere'], 125],
    [['create', '--pull', 'never', 'nowhere'], 1],
    [['history', 'nowhere'], 1],
    [['tag', 'nowhere', 'x'], 1],
    [['rmi', 'nowhere'], 1],
    [['save', '-o', '/dev/null', 'nowhere'], 1],
    [['push', '127.0.0.1:1/nowhere'], 1],
    [['image', 'inspect', 'nowhere'], 1],
  ] as const) {
    const needsRoot = args[0] === 'run' || args[0] === 'create'
    test(`is told by ${args.join(' ')}`, { skip: needsRoot && !isRoot && 'containers need root' }, async () => {
      const result = await strata(['--root', await freshRoot(), ...args])
      assert.equal(result.code, code, result.stderr)
      assert.match(result.stderr, /nowhere/)
      assert.match(result.stderr, /[Nn]o such/)
      assert.doesNotMatch(result.stderr, /\n\s+at /)
    })
  }
})

test('pull says that a registry cannot be reached', async () => {
  await fails(await freshRoot(), ['pull', '--quiet', '127.0.0.1:1/app'], {
    message: /Cannot reach registry "127\.0\.0\.1:1": .*ECONNREFUSED/,
  })
})

test('a full disk: one sentence, and the store goes on', { skip: isRoot ? false : 'mounting a small disk needs root' }, async () => {
  const disk = join(scratch, 'disk')
  await mkdir(disk)
  mount({ type: 'tmpfs', source: 'tmpfs', options: ['size=12m'] }, disk)
  try {
    const root = join(disk, 'root')
    const small = await strata(['--root', root, 'import', '-', 'small:1'], LAYER)
    assert.equal(small.code, 0, small.stderr)
    const big = await strata(['--root', root, 'import', '-', 'big:1'], tarOf({ big: Buffer.alloc(20 * 1024 * 1024, 1) }))
    assert.equal(big.code, 1)
    assert.match(big.stderr, /Cannot .*no space left on device/)
    const names = await strata(['--root', root, 'images', '--format', '{{.Repository}}'])
    assert.equal(names.stdout, 'small\n')
    const again = await strata(['--root', root, 'import', '-', 'again:1'], tarOf({ again: Buffer.alloc(1024 * 1024, 1) }))
    assert.equal(again.code, 0, again.stderr)
    const removed = await strata(['--root', root, 'rmi', 'small:1', 'again:1'])
    assert.equal(removed.code, 0, removed.stderr)
  } finally {
    unmount(disk)
  }
})

test('a root that is something else is left alone', async () => {
  const directory = await mkdtemp(join(scratch, 'somebody-'))
  await writeFile(join(directory, 'precious'), 'x')
  await symlink('precious', join(directory, 'link'))
  const { code, stderr } = await strata(['--root', directory, 'images'])
  assert.equal(code, 1)
  assert.match(stderr, /it is not empty and no root of Strata/)
})
