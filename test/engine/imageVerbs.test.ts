import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { readdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { ProgramResult } from '../../src/base/index.ts'
import { digestOf } from '../../src/oci/index.ts'
import { must, strata } from '../support/commands.ts'
import { type CraftedLayer, ImageCrafter } from '../support/craftedImages.ts'
import { type LoopbackRegistry, startRegistry } from '../support/loopbackRegistry.ts'
import { tarOf } from '../support/tars.ts'

/* The verbs of images at the command line, against a real registry; what is expected is docker's documented behaviour. */

let scratch: string
let registry: LoopbackRegistry
let root: string

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'strata-verbs-'))
  root = join(scratch, 'root')
  registry = await startRegistry()
})
after(async () => {
  await registry[Symbol.asyncDispose]()
  await rm(scratch, { recursive: true, force: true })
})

const run = (...args: readonly string[]): Promise<ProgramResult> => strata(['--root', root, ...args])

/** Runs a command that must succeed, and gives the lines that it printed. */
async function lines(...args: readonly string[]): Promise<readonly string[]> {
  const { code, stdout, stderr } = await run(...args)
  assert.equal(code, 0, `${args.join(' ')}: ${stderr}`)
  return stdout.split('\n').slice(0, -1)
}

async function fails(message: RegExp, ...args: readonly string[]): Promise<void> {
  const { code, stderr } = await run(...args)
  assert.match(stderr, message)
  assert.equal(code, 1, stderr)
}

const layer = (files: Parameters<typeof tarOf>[0], compression: CraftedLayer['compression'] = 'gzip'): CraftedLayer => ({
  tar: tarOf(files),
  compression,
})

interface Manifest {
  readonly manifests: readonly { readonly digest: string }[]
  readonly layers: readonly { readonly digest: string }[]
}

/** The files of an image as GNU tar reads them out of what `save` writes. */
async function filesOf(image: string): Promise<readonly string[]> {
  const directory = await mkdtemp(join(scratch, 'judge-'))
  await lines('save', '-o', join(directory, 'archive.tar'), image)
  await must('tar', '-xf', join(directory, 'archive.tar'), '-C', directory)
  const read = async (path: string): Promise<Manifest> => JSON.parse(await must('cat', join(directory, path))) as Manifest
  const pathOf = (digest: string): string => join('blobs', digest.replace(':', '/'))
  const { layers } = await read(pathOf((await read('index.json')).manifests[0]!.digest))
  const files = new Set<string>()
  for (const { digest } of layers)
    for (const name of (await must('tar', '-tf', join(directory, pathOf(digest)))).split('\n').slice(0, -1)) files.add(name)
  return [...files].sort()
}

async function emptyStore(): Promise<void> {
  const ids = await lines('images', '-aq', '--no-trunc')
  if (ids.length > 0) await lines('rmi', '-f', ...ids)
  await lines('image', 'prune', '-af')
  for (const name of ['blobs/sha256', 'layers/sha256', 'layers/partial', 'ingest', 'snapshots/erofs', 'snapshots/overlay2', 'trash']) {
    const left = names(join(root, name)).filter(each => each !== 'l')
    assert.deepEqual(left, [], name)
  }
}

function names(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

describe('pull', () => {
  const one = layer({ 'one/file': 'one' })
  const two = layer({ two: 'two' })
  let crafter: ImageCrafter
  before(() => {
    crafter = new ImageCrafter(registry.address, 'team/app')
  })
  const named = (tag: string): string => `${registry.address}/team/app${tag}`

  test('pull prints what docker prints, and a second one says that the image is up to date', async () => {
    const { digest } = await crafter.image('latest', [one, two])
    const first = await lines('pull', named(''))
    assert.equal(first[0], 'Using default tag: latest')
    assert.equal(first[1], 'latest: Pulling from team/app')
    assert.deepEqual(first.slice(-3), [`Digest: ${digest}`, `Status: Downloaded newer image for ${named(':latest')}`, named(':latest')])
    const again = await lines('pull', named(':latest'))
    assert.deepEqual(again, [
      'latest: Pulling from team/app',
      `Digest: ${digest}`,
      `Status: Image is up to date for ${named(':latest')}`,
      named(':latest'),
    ])
    const byDigest = await lines('pull', named(`@${digest}`))
    assert.equal(byDigest[0], `${named(`@${digest}`)}: Pulling from team/app`)
    assert.equal(byDigest.at(-1), named(`@${digest}`))
    assert.deepEqual(await lines('pull', '-q', named(':latest')), [named(':latest')])
    assert.deepEqual(await lines('images', '--digests', '--format', '{{.Repository}} {{.Tag}} {{.Digest}}'), [
      `${named('')} latest ${digest}`,
    ])
    assert.deepEqual(await filesOf(named(':latest')), ['one/file', 'two'])
    await emptyStore()
  })

  test('pull takes every form of layers: zstd, plain, none at all, the same one twice, and empty ones', async () => {
    const plain = layer({ p: 'p' }, 'none')
    const forms: Readonly<Record<string, readonly [readonly CraftedLayer[], readonly string[]]>> = {
      zstd: [[layer({ z: 'z' }, 'zstd')], ['z']],
      plain: [[plain], ['p']],
      none: [[], []],
      twice: [
        [one, two, one],
        ['one/file', 'two'],
      ],
      twiceplain: [
        [plain, two, plain],
        ['p', 'two'],
      ],
      empty: [[layer({}), one, layer({})], ['one/file']],
      mixed: [[layer({ m: 'm' }, 'none'), layer({ m: 'm' }, 'gzip')], ['m']],
    }
    for (const [tag, [layers, files]] of Object.entries(forms)) {
      await crafter.image(tag, layers)
      await lines('pull', '-q', named(`:${tag}`))
      const inspected = JSON.parse((await run('inspect', named(`:${tag}`))).stdout) as [{ RootFS: { Layers: string[] } }]
      assert.equal(inspected[0].RootFS.Layers.length, layers.length, tag)
      assert.deepEqual(await filesOf(named(`:${tag}`)), files, tag)
    }
    await emptyStore()
  })

  test('pull brings the blobs of layers that are here in another form, and none that is not that layer', async () => {
    const tar = join(scratch, 'one.tar')
    writeFileSync(tar, one.tar)
    await lines('import', tar, 'local')
    await crafter.image('known', [one])
    await lines('pull', '-q', named(':known'))
    assert.deepEqual(await filesOf(named(':known')), ['one/file'])
    await crafter.image('lying', [two], { rootfs: { type: 'layers', diff_ids: [digestOf(one.tar)] } })
    await fails(/its bytes are those of/, 'pull', named(':lying'))
    await emptyStore()
    await fails(/its bytes are those of/, 'pull', named(':lying'))
    await emptyStore()
  })

  test('pull chooses from an index by platform, and names the digest of the index', async () => {
    const amd = await crafter.image(undefined, [one])
    const arm = await crafter.image(undefined, [two], { architecture: 'arm64' })
    const index = await crafter.index('multi', { amd64: amd, arm64: arm })
    await lines('pull', '-q', '--platform', 'linux/arm64', named(':multi'))
    assert.deepEqual(await lines('inspect', '-f', '{{.Architecture}} {{index .RepoDigests 0}}', named(':multi')), [
      `arm64 ${named('')}@${index.digest}`,
    ])
    await lines('pull', '-q', '--platform', 'linux/amd64', named(`@${index.digest}`))
    assert.deepEqual(await lines('inspect', '-f', '{{.Architecture}} {{len .RepoTags}}', named(`@${index.digest}`)), ['amd64 0'])
    await fails(
      /Cannot find an image for linux\/s390x .*It has linux\/amd64, linux\/arm64/,
      'pull',
      '--platform',
      'linux/s390x',
      named(':multi'),
    )
    await emptyStore()
  })

  test('another platform than the one that is here is not silently replaced', async () => {
    await crafter.image('amd64', [layer({ a: 'a' })], { docker_version: '26.1.5' })
    await lines('pull', '-q', named(':amd64'))
    assert.deepEqual(await lines('inspect', '-f', '{{.DockerVersion}}', named(':amd64')), ['26.1.5'])
    for (const command of [['image', 'inspect'], ['history'], ['push'], ['save', '-o', join(scratch, 'none.tar')]]) {
      await fails(
        /^strata: Cannot find image "\S+:amd64" for linux\/arm64: what is here is for linux\/amd64\. [^\n]+\n$/,
        ...command,
        '--platform',
        'linux/arm64',
        named(':amd64'),
      )
      if (command[0] !== 'push') await lines(...command, '--platform', 'linux/amd64', named(':amd64'))
    }
    await emptyStore()
  })

  test('pull -a takes every tag; a tag and -a contradict each other', async () => {
    crafter = new ImageCrafter(registry.address, 'team/all')
    for (const tag of ['a', 'b'])
      await crafter.image(tag, [one], { created: tag === 'a' ? '2020-01-01T00:00:00Z' : '2021-01-01T00:00:00Z' })
    const all = await lines('pull', '-a', `${registry.address}/team/all`)
    assert.deepEqual(all.slice(-2), [`Status: Downloaded newer image for ${registry.address}/team/all`, `${registry.address}/team/all`])
    assert.deepEqual(await lines('images', '--format', '{{.Tag}}'), ['b', 'a'])
    await fails(/it names one already/, 'pull', '-a', `${registry.address}/team/all:a`)
    await emptyStore()
    crafter = new ImageCrafter(registry.address, 'team/app')
  })

  test('pull of what is not there, of wrong names and of a dead registry is one sentence', async () => {
    await fails(/^[^\n]*nothere[^\n]*\n$/, 'pull', named(':nothere'))
    // As docker: that it is pulled is said when there is something to pull.
    assert.equal((await run('pull', named(':nothere'))).stdout, '')
    await fails(/Cannot parse reference "UP"/, 'pull', 'UP')
    await fails(/Cannot reach registry "127\.0\.0\.1:1"/, 'pull', '127.0.0.1:1/x')
  })
})

describe('names', () => {
  test('tag, rmi, rmi -f and rmi by id follow docker', async () => {
    const tar = join(scratch, 'rootfs.tar')
    writeFileSync(tar, tarOf({ hello: 'hello' }))
    const [id = ''] = await lines('import', '-m', 'a message', '-c', 'CMD ["/hello"]', tar, 'a:1')
    await lines('tag', 'a:1', 'a:2')
    await lines('tag', id.slice(7, 19), 'b')
    assert.deepEqual(await lines('images', '--format', '{{.Repository}}:{{.Tag}}', 'a'), ['a:1', 'a:2'])
    assert.deepEqual(await lines('images', '-q', '--no-trunc'), [id, id, id])
    await fails(/it has several names/, 'rmi', id)
    assert.deepEqual(await lines('rmi', 'b'), ['Untagged: b:latest'])
    // As docker: also two tags of one repository.
    await fails(/it has several names \(a:1, a:2\)/, 'rmi', id)
    assert.deepEqual(await lines('rmi', 'a:2'), ['Untagged: a:2'])
    const { code, stdout, stderr } = await run('rmi', 'nosuch', 'a:1')
    assert.equal(code, 1)
    assert.match(stderr, /Cannot find image "nosuch"/)
    assert.deepEqual(stdout.split('\n').slice(0, -1), ['Untagged: a:1', `Deleted: ${id}`])
    assert.equal((await run('rmi', '-f', 'nosuch')).code, 0)
    await emptyStore()
  })

  test('a name that moves leaves its image dangling; image prune takes it, -a takes all, filters hold back', async () => {
    const tar = join(scratch, 'rootfs.tar')
    writeFileSync(tar, tarOf({ hello: 'hello' }))
    const [first = ''] = await lines('import', '-c', 'LABEL keep=yes', tar, 'moving')
    const [second = ''] = await lines('import', '-c', 'LABEL n=2', tar, 'moving')
    assert.deepEqual(await lines('images', '-q', '--no-trunc', '-f', 'dangling=true'), [first])
    assert.match((await lines('image', 'prune', '-f', '--filter', 'label!=keep')).at(-1)!, /Total reclaimed space: 0B/)
    assert.deepEqual((await lines('image', 'prune', '-f'))[1], `deleted: ${first}`)
    assert.match((await lines('image', 'prune', '-af', '--filter', 'until=1h')).at(-1)!, /0B/)
    assert.deepEqual((await lines('image', 'prune', '-af')).slice(0, 3), [
      'Deleted Images:',
      'untagged: moving:latest',
      `deleted: ${second}`,
    ])
    await emptyStore()
  })
})

describe('save and load', () => {
  test('save of several, of a repository and of an id loads again under the same names and ids', async () => {
    const tar = join(scratch, 'rootfs.tar')
    writeFileSync(tar, tarOf({ hello: 'hello' }))
    for (const name of ['r:1', 'r:2', 'other:x']) await lines('import', '-m', name, tar, name)
    const before = (await lines('images', '--no-trunc', '--format', '{{.Repository}}:{{.Tag}} {{.ID}}')).toSorted()
    const [id = ''] = await lines('images', '-q', '--no-trunc', 'other')
    await lines('save', '-o', join(scratch, 'names.tar'), 'r', 'other:x')
    await lines('save', '-o', join(scratch, 'id.tar'), id)
    await emptyStore()
    assert.deepEqual(await lines('load', '-q', '-i', join(scratch, 'id.tar')), [`Loaded image ID: ${id}`])
    assert.deepEqual((await lines('load', '-q', '-i', join(scratch, 'names.tar'))).toSorted(), [
      'Loaded image: other:x',
      'Loaded image: r:1',
      'Loaded image: r:2',
    ])
    assert.deepEqual((await lines('images', '--no-trunc', '--format', '{{.Repository}}:{{.Tag}} {{.ID}}')).toSorted(), before)
    await emptyStore()
  })
})

test('pull, push and run say what they are about before they find out that it is not there', async () => {
  const name = '127.0.0.1:1/nowhere'
  const pull = await run('pull', name)
  assert.deepEqual([pull.code, pull.stdout], [1, 'Using default tag: latest\n'])
  const push = await run('push', name)
  assert.deepEqual([push.code, push.stdout], [1, `Using default tag: latest\nThe push refers to repository [${name}]\n`])
  const ran = await run('run', name)
  assert.match(ran.stderr, /^Unable to find image '127\.0\.0\.1:1\/nowhere:latest' locally\nstrata: Cannot reach/)
})

describe('push', () => {
  test('push sends once, mounts across repositories, pushes all tags, and comes back with the same digest', async () => {
    const tar = join(scratch, 'rootfs.tar')
    writeFileSync(tar, tarOf({ hello: 'hello' }))
    await lines('import', tar, `${registry.address}/p/one:1`)
    await lines('tag', `${registry.address}/p/one:1`, `${registry.address}/p/one:2`)
    const first = await lines('push', `${registry.address}/p/one:1`)
    assert.equal(first[0], `The push refers to repository [${registry.address}/p/one]`)
    assert.match(first.at(-1)!, /^1: digest: sha256:[0-9a-f]{64} size: \d+$/)
    assert.ok(first.some(line => line.endsWith(': Pushed')))
    const again = await lines('push', `${registry.address}/p/one:1`)
    assert.ok(again.some(line => line.endsWith(': Layer already exists')))
    assert.equal(again.at(-1), first.at(-1))
    assert.equal((await lines('push', '-a', '-q', `${registry.address}/p/one`)).length, 1)
    await lines('tag', `${registry.address}/p/one:1`, `${registry.address}/p/one`)
    const untagged = await lines('push', `${registry.address}/p/one`)
    assert.deepEqual(untagged.slice(0, 2), ['Using default tag: latest', first[0]])
    await lines('tag', `${registry.address}/p/one:1`, `${registry.address}/p/two:1`)
    assert.ok((await lines('push', `${registry.address}/p/two:1`)).some(line => line.endsWith(': Mounted from p/one')))
    await lines('push', '-q', '--compression', 'zstd', `${registry.address}/p/one:2`)
    await emptyStore()
    const digest = /sha256:[0-9a-f]{64}/.exec(first.at(-1)!)![0]
    assert.ok((await lines('pull', `${registry.address}/p/one:2`)).includes('2: Pulling from p/one'))
    assert.deepEqual(await filesOf(`${registry.address}/p/one:2`), ['hello'])
    await lines('pull', '-q', `${registry.address}/p/one@${digest}`)
    await fails(/has no tags here|no such image/, 'push', '-a', `${registry.address}/p/none`)
    await fails(/no such image/, 'push', `${registry.address}/p/none:1`)
    await emptyStore()
  })

  test('rmi of a digest takes that digest, and the image with the last of its names', async () => {
    const tar = join(scratch, 'rootfs.tar')
    writeFileSync(tar, tarOf({ digest: 'digest' }))
    const [one, two] = ['one', 'two'].map(name => `${registry.address}/digest/${name}`)
    await lines('import', tar, `${one}:1`)
    await lines('tag', `${one}:1`, `${two}:1`)
    const digest = /sha256:[0-9a-f]{64}/.exec((await lines('push', `${one}:1`)).at(-1)!)![0]
    await lines('push', '-q', `${two}:1`)
    const untagged = (...names: readonly string[]): readonly string[] => names.map(name => `Untagged: ${name}`)

    // The tags stay, and then the digest of the other repository.
    assert.deepEqual(await lines('rmi', `${one}@${digest}`), untagged(`${one}@${digest}`))
    await fails(/no such image/, 'rmi', `${one}@${digest}`)
    assert.deepEqual(await lines('rmi', `${two}:1`), untagged(`${two}:1`, `${two}@${digest}`))
    assert.deepEqual(await lines('images', '--format', '{{.Repository}}:{{.Tag}}'), [`${one}:1`])
    assert.equal((await lines('rmi', `${one}:1`)).length, 2)

    for (const name of [one, two]) await lines('pull', '-q', `${name}@${digest}`)
    assert.deepEqual(await lines('rmi', `${one}@${digest}`), untagged(`${one}@${digest}`))
    assert.match(await filesOf(`${two}@${digest}`).then(String), /digest/)
    const last = await lines('rmi', `${two}@${digest}`)
    assert.deepEqual(last[0], `Untagged: ${two}@${digest}`)
    assert.match(last[1]!, /^Deleted: sha256:/)
    await emptyStore()
  })
})
