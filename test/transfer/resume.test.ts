import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { CURRENT_DIRECTORY, removeTree } from '../../src/host/index.ts'
import { type CraftedLayer, ImageCrafter } from '../support/craftedImages.ts'
import { type Exchange, type FaultyProxy, faultyProxy, type ProxyOptions } from '../support/faultyProxy.ts'
import { type LoopbackRegistry, startRegistry } from '../support/loopbackRegistry.ts'
import { startServing } from '../serve/serveProcess.ts'
import { checkStore } from '../support/storeCheck.ts'
import { tarOf } from '../support/tars.ts'
import { uploadKeeper } from '../support/uploadKeeper.ts'

/* Pulls and pushes that are killed, and two of them at once, by real processes and what comes over the wire of them. */

const START = fileURLToPath(new URL('../../src/cli/start.ts', import.meta.url))
const MB = 1_000_000

let scratch: string
let registry: LoopbackRegistry
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'strata-resume-'))
  registry = await startRegistry()
})
after(async () => {
  await registry[Symbol.asyncDispose]()
  await removeTree(CURRENT_DIRECTORY, scratch)
})

/** Does not compress. */
const layer = (name: string, size: number, compression: CraftedLayer['compression'] = 'gzip'): CraftedLayer => ({
  tar: tarOf({ [name]: randomBytes(size) }),
  compression,
})

interface Run {
  readonly process: ChildProcess
  readonly ended: Promise<{ readonly code: number | null; readonly output: string }>
}

function strata(...args: readonly string[]): Run {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', START, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const output: string[] = []
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => output.push(text))
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, output: output.join('') }))
  return { process: child, ended }
}

async function succeeds(...args: readonly string[]): Promise<string> {
  const { code, output } = await strata(...args).ended
  assert.equal(code, 0, output)
  return output
}

async function killWhen(run: Run, isTime: () => boolean): Promise<void> {
  const end = Date.now() + 60_000
  while (!isTime()) {
    assert.equal(run.process.exitCode, null, 'it was faster than the kill')
    assert.ok(Date.now() < end, 'it stands still')
    await sleep(2)
  }
  run.process.kill('SIGKILL')
  assert.equal((await run.ended).code, null)
}

test('hostile #68: a pull that is killed at 90 % fetches less than 15 % of the bytes when it is started again', async () => {
  const layers = [
    layer('large', 12 * MB),
    layer('plain', 4 * MB, 'none'),
    ...Array.from({ length: 60 }, (_, n) => layer(`small${n}`, 20_000)),
    layer('middle', 3 * MB, 'zstd'),
    layer('last', 4 * MB),
  ]
  await new ImageCrafter(registry.address, 'killed').image('1', layers)
  const total = layers.reduce((sum, { tar }) => sum + tar.length, 0)
  await using proxy = await faultyProxy(registry.address, { bytesPerSecond: 12 * MB })
  const root = join(scratch, 'killed')
  const pull = ['--root', root, 'pull', `${proxy.address}/killed:1`]
  await killWhen(strata(...pull), () => proxy.blobBytes() >= total * 0.9)
  assert.deepEqual((await checkStore(root)).images, [])
  const before = proxy.blobBytes()
  const output = await succeeds(...pull)
  const fetched = (proxy.blobBytes() - before) / total
  assert.ok(fetched < 0.15, `${Math.round(fetched * 100)} % fetched again`)
  assert.ok(fetched > 0.01, 'there was something to do')
  assert.match(output, /Pull complete/)
  assert.match(output, /Status: Downloaded newer image for/)
  const { images, faults } = await checkStore(root)
  assert.deepEqual([images.length, faults], [1, []])
  assert.deepEqual(readdirSync(join(root, 'ingest')), [], 'nothing stays that only an interrupted pull needs')
})

test('several processes that pull images with layers in common download each of these once', async () => {
  const common = [layer('large', 6 * MB), layer('plain', 2 * MB, 'none'), ...Array.from({ length: 20 }, (_, n) => layer(`small${n}`, 5000))]
  const crafter = new ImageCrafter(registry.address, 'shared')
  await crafter.image('one', [layer('own1', 3 * MB), ...common, layer('small own 1', 1000)])
  await crafter.image('two', [layer('own2', 3 * MB), ...common.toReversed(), layer('small own 2', 1000)])
  for (const storageDriver of ['', 'vfs']) {
    await using proxy = await faultyProxy(registry.address, { bytesPerSecond: 10 * MB })
    const root = join(scratch, `shared${storageDriver}`)
    const pull = (tag: string): Promise<string> =>
      succeeds(
        '--root',
        root,
        ...(storageDriver === '' ? [] : ['--storage-driver', storageDriver]),
        'pull',
        `${proxy.address}/shared:${tag}`,
      )
    // Which driver a root has is decided once.
    await Promise.all([pull('one'), pull('two'), pull('one')])
    const asked = new Map<string, number>()
    for (const { method, path } of proxy.exchanges)
      if (method === 'GET' && path.includes('/blobs/')) asked.set(path, (asked.get(path) ?? 0) + 1)
    // Each command reads the config of its image to know what it is; a plain tar on vfs goes straight into its tree.
    const repeated = [...asked.values()].filter(count => count > 1).length
    assert.ok(asked.size >= 28, `${asked.size} blobs`)
    assert.ok(repeated <= (storageDriver === 'vfs' ? 2 : 1), `${repeated} blobs were fetched again`)
    const { images, faults } = await checkStore(root, storageDriver === '' ? undefined : storageDriver)
    assert.deepEqual([images.length, faults], [2, []])
  }
})

/** An image in a root, whose layers are `sizes` long. */
async function pulled(root: string, repository: string, layers: readonly CraftedLayer[]): Promise<string> {
  await new ImageCrafter(registry.address, repository).image('1', layers)
  await succeeds('--root', root, 'pull', '-q', `${registry.address}/${repository}:1`)
  return `${registry.address}/${repository}:1`
}

async function withKeeper(options: ProxyOptions, work: (proxy: FaultyProxy) => Promise<void>): Promise<void> {
  await using behind = await startRegistry()
  await using keeper = await uploadKeeper(behind.address)
  await using proxy = await faultyProxy(keeper.address, options)
  await work(proxy)
}

test('a push that is killed goes on where it stopped: after 90 % it sends less than 15 % of the bytes', async () => {
  const root = join(scratch, 'pushed')
  const layers = [layer('first', 4 * MB), layer('large', 20 * MB)]
  const total = layers.reduce((sum, { tar }) => sum + tar.length, 0)
  const source = await pulled(root, 'to-push', layers)
  for (const share of [0.9, 0.4]) {
    await withKeeper({ bytesPerSecond: 20 * MB }, async proxy => {
      const name = `${proxy.address}/pushed:1`
      await succeeds('--root', root, 'tag', source, name)
      await killWhen(strata('--root', root, 'push', name), () => proxy.sentBytes() >= total * share)
      // What the kernel has of it still goes.
      for (let seen = -1; seen !== proxy.sentBytes(); await sleep(200)) seen = proxy.sentBytes()
      const before = proxy.sentBytes()
      const output = await succeeds('--root', root, 'push', name)
      const sent = (proxy.sentBytes() - before) / total
      assert.ok(sent < 1 - share + 0.05, `${Math.round(sent * 100)} % sent again after ${share * 100} %`)
      if (share < 0.5) {
        const isRest = ({ method, headers }: Exchange): boolean =>
          method === 'PATCH' && /^[1-9]\d+-\d+$/.test(headers['content-range'] ?? '')
        assert.ok(proxy.exchanges.some(isRest))
      } else assert.match(output, /Layer already exists/)
      const second = join(scratch, `pulled-back-${share}`)
      await succeeds('--root', second, 'pull', '-q', name)
      assert.deepEqual((await checkStore(second)).faults, [])
    })
  }
})

// docker-registry is such a registry: it cancels an upload that is asked for after a break.
test('a push that is killed begins a layer anew where the registry has forgotten what arrived', async () => {
  const root = join(scratch, 'forgotten')
  const source = await pulled(root, 'forgotten', [layer('large', 12 * MB)])
  await using behind = await startRegistry()
  await using proxy = await faultyProxy(behind.address, { bytesPerSecond: 12 * MB })
  const name = `${proxy.address}/forgotten:1`
  await succeeds('--root', root, 'tag', source, name)
  await killWhen(strata('--root', root, 'push', name), () => proxy.sentBytes() >= 6 * MB)
  await succeeds('--root', root, 'push', name)
  const second = join(scratch, 'back')
  await succeeds('--root', second, 'pull', '-q', name)
  assert.deepEqual((await checkStore(second)).faults, [])
})

for (const [title, start] of [
  ['docker-registry', startRegistry],
  ['strata serve', startServingIn],
] as const) {
  test(`what a registry forgets while it is pushed to is sent again: ${title}`, async () => {
    const root = join(scratch, `lost-${title.length}`)
    const source = await pulled(root, 'lost', [layer('first', 4000), layer('second', 4000)])
    await using behind = await start()
    // One that is started anew in the middle of a push had taken a layer before, and knows nothing of it when the manifest comes.
    const fault: ProxyOptions['fault'] = ({ method, others, path }) =>
      method === 'HEAD' && others === 0 && path.includes('/blobs/') ? { answer: { status: 200 } } : undefined
    for (const verb of ['push', 'copy']) {
      await using proxy = await faultyProxy(behind.address, { fault })
      const name = `${proxy.address}/${verb}:1`
      if (verb === 'push') {
        await succeeds('--root', root, 'tag', source, name)
        await succeeds('--root', root, 'push', name)
      } else await succeeds('--root', root, 'copy', `docker://${source}`, `docker://${name}`)
      assert.equal(proxy.exchanges.filter(({ method, path }) => method === 'PUT' && path.endsWith('/manifests/1')).length, 2)
      const second = join(scratch, `found-${title.length}-${verb}`)
      await succeeds('--root', second, 'pull', '-q', name)
      assert.deepEqual((await checkStore(second)).faults, [])
    }
  })
}

async function startServingIn(): Promise<LoopbackRegistry> {
  const server = await startServing(await mkdtemp(join(scratch, 'served-')), '--writable')
  return { address: server.address, [Symbol.asyncDispose]: async () => void (await server.end('SIGTERM')) }
}

test('what a registry never has is told, and not as if it were not ours to see', async () => {
  const root = join(scratch, 'never')
  const source = await pulled(root, 'never', [layer('first', 4000)])
  await using behind = await startRegistry()
  await using proxy = await faultyProxy(behind.address, {
    fault: ({ method, path }) => (method === 'HEAD' && path.includes('/blobs/') ? { answer: { status: 200 } } : undefined),
  })
  await succeeds('--root', root, 'tag', source, `${proxy.address}/never:1`)
  const { code, output } = await strata('--root', root, 'push', `${proxy.address}/never:1`).ended
  assert.equal(code, 1)
  assert.match(output, /Cannot push the manifest of .*: the registry answers 4\d\d \(MANIFEST_BLOB_UNKNOWN.*\. It has lost/)
})
