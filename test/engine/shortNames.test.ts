import assert from 'node:assert/strict'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Engine, openEngine } from '../../src/engine/index.ts'
import { CURRENT_DIRECTORY, removeTree } from '../../src/host/index.ts'
import { ImageCrafter } from '../support/craftedImages.ts'
import { type LoopbackRegistry, startRegistry } from '../support/loopbackRegistry.ts'
import { type MachineFiles, machineFiles } from '../support/machineFiles.ts'
import { tarOf } from '../support/tars.ts'

let scratch: string
let registry: LoopbackRegistry
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'strata-short-names-'))
  registry = await startRegistry()
  const crafter = new ImageCrafter(registry.address, 'team/fedora')
  for (const tag of ['latest', '40']) await crafter.image(tag, [{ tar: tarOf({ tag }), compression: 'gzip' }], { config: { Cmd: ['x'] } })
})
after(async () => {
  await registry[Symbol.asyncDispose]()
  await removeTree(CURRENT_DIRECTORY, scratch)
})

async function open(aliases: string): Promise<Engine & AsyncDisposable> {
  const files: MachineFiles = await machineFiles(scratch, { 'etc/containers/registries.conf.d/names.conf': `[aliases]\n${aliases}\n` })
  return openEngine({ root: await mkdtemp(join(scratch, 'root-')), fsync: false, ...files })
}

test('a short name that is an alias is pulled as what it stands for, and found by both names', async () => {
  await using engine = await open(`"fedora" = "${registry.address}/team/fedora"\n"os/fedora" = "${registry.address}/team/fedora"`)
  const name = `${registry.address}/team/fedora`
  assert.deepEqual(
    (await engine.pull('fedora')).map(pulled => pulled.name),
    [`${name}:latest`],
  )
  const [pulled] = await engine.pull('os/fedora:40')
  assert.equal(pulled!.name, `${name}:40`)
  const { Id, RepoTags } = await engine.inspectImage('fedora:40')
  assert.deepEqual([Id, RepoTags], [pulled!.imageId, [`${name}:40`]])
  assert.equal((await engine.inspectImage(`fedora@${pulled!.manifestDigest}`)).Id, Id)
  assert.equal((await engine.history('fedora:40')).length, 1)
  await engine.tag('fedora:40', 'mine:1')
  await assert.rejects(engine.inspectImage('fedora:41'), { code: 'STRATA_NO_SUCH_IMAGE', message: /"fedora:41"/ })
  await assert.rejects(engine.inspectImage('library/fedora'), { code: 'STRATA_NO_SUCH_IMAGE' })
  await engine.removeImage('fedora:40')
  await assert.rejects(engine.inspectImage('fedora:40'), { code: 'STRATA_NO_SUCH_IMAGE' })
})

test('a name that is here as docker reads it is that, whatever it is an alias of', async () => {
  await using engine = await open(`fedora = "${registry.address}/team/fedora"`)
  const [latest] = await engine.pull(`${registry.address}/team/fedora`)
  const [other] = await engine.pull(`${registry.address}/team/fedora:40`)
  assert.notEqual(latest!.imageId, other!.imageId)
  assert.equal((await engine.inspectImage('fedora')).Id, latest!.imageId)
  await engine.tag(`${registry.address}/team/fedora:40`, 'docker.io/library/fedora:latest')
  assert.equal((await engine.inspectImage('fedora')).Id, other!.imageId)
})

test(
  'a container is made from an alias, which is pulled when it is not here',
  { skip: process.geteuid?.() !== 0 && 'needs root' },
  async () => {
    await using engine = await open(`fedora = "${registry.address}/team/fedora"`)
    const { id } = await engine.create({ image: 'fedora:40' })
    const again = await engine.create({ image: 'fedora:40', pull: 'never' })
    assert.equal((await engine.inspectContainer(id)).Image, (await engine.inspectContainer(again.id)).Image)
    for (const each of [id, again.id]) await engine.removeContainer(each)
  },
)

test('an alias stands for a full name without tag and digest, or is told', async () => {
  for (const target of ['other', 'quay.io/app:1', `quay.io/app@sha256:${'0'.repeat(64)}`]) {
    await using engine = await open(`fedora = "${target}"`)
    await assert.rejects(engine.pull('fedora'), { code: 'STRATA_CONFIG_INVALID' }, target)
  }
})
