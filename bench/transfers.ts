/*
 * node bench/transfers.ts [layers] [MiB of each]
 *
 * What pull and push hold in memory with ten layers of 1 GiB (half of it does not compress), and how much a pull that is killed
 * at 90 % fetches again. As built: "node scripts/build.ts" first. Needs docker-registry, and 25 GB where temporary files are.
 */
import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline, Readable } from 'node:stream'
import { createGzip } from 'node:zlib'
import { streamOf } from '../src/base/index.ts'
import { describeBytes, type Descriptor, MEDIA_TYPES, parseReference } from '../src/oci/index.ts'
import { connectRepository, type Repository } from '../src/registry/index.ts'
import { TAR_END } from '../src/tar/index.ts'
import { faultyProxy } from '../test/support/faultyProxy.ts'
import { startRegistry } from '../test/support/loopbackRegistry.ts'
import { tarHeader } from './images/generatedTar.ts'
import { PROJECT } from './places.ts'

const MIB = 1024 * 1024
const layers = Number(process.argv[2] ?? 10)
const mib = Number(process.argv[3] ?? 1024)
const block = Buffer.concat([randomBytes(MIB / 2), Buffer.alloc(MIB / 2)])

async function pushLayer(repository: Repository, name: string): Promise<{ readonly layer: Descriptor; readonly diffId: string }> {
  let sha = createHash('sha256')
  function* tar(): Generator<Uint8Array> {
    sha = createHash('sha256')
    for (const part of [tarHeader(name, mib * MIB), ...Array.from({ length: mib }, () => block), TAR_END]) {
      sha.update(part)
      yield part
    }
  }
  const layer = await repository.putUnknown(MEDIA_TYPES.layerGzip, async () => {
    const gzip = createGzip({ level: 1, chunkSize: MIB / 4 })
    // Who reads hears of failures.
    pipeline(Readable.from(tar()), gzip, () => undefined)
    return gzip
  })
  return { layer, diffId: `sha256:${sha.digest('hex')}` }
}

async function pushImage(address: string): Promise<number> {
  const reference = parseReference(`${address}/bench/large:1`)
  await using repository = await connectRepository(reference, { configDirectory: '/nonexistent', access: 'push' })
  const pushed: Awaited<ReturnType<typeof pushLayer>>[] = []
  for (let layer = 0; layer < layers; layer += 1) pushed.push(await pushLayer(repository, `file${layer}`))
  const rootfs = { type: 'layers', diff_ids: pushed.map(({ diffId }) => diffId) }
  const configBytes = Buffer.from(JSON.stringify({ architecture: process.arch === 'arm64' ? 'arm64' : 'amd64', os: 'linux', rootfs }))
  const config = describeBytes(MEDIA_TYPES.config, configBytes)
  await repository.put(config, { open: async () => streamOf(configBytes) })
  const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: pushed.map(({ layer }) => layer) }
  const bytes = Buffer.from(JSON.stringify(manifest))
  await repository.putManifest('1', { descriptor: describeBytes(MEDIA_TYPES.manifest, bytes), bytes })
  return pushed.reduce((sum, { layer }) => sum + layer.size, 0)
}

const scratch = await mkdtemp(join(tmpdir(), 'strata-transfers-'))
const strata = (root: string, ...args: readonly string[]): readonly string[] => [
  join(PROJECT, 'bin/strata'),
  '--root',
  join(scratch, root),
  ...args,
]

/** Runs a command to its end, and tells its time and its most resident memory. */
async function measured(title: string, command: readonly string[]): Promise<void> {
  const program = spawn('/usr/bin/time', ['-f', '%e s, %M KiB', ...command], { stdio: ['ignore', 'ignore', 'pipe'] })
  const said = (await Array.fromAsync(program.stderr.setEncoding('utf8') as AsyncIterable<string>)).join('')
  if (program.exitCode === null) await once(program, 'exit')
  console.log(`${title}: ${program.exitCode === 0 ? said.trim() : `failed: ${said}`}`)
}

try {
  await using registry = await startRegistry()
  await using empty = await startRegistry()
  const total = await pushImage(registry.address)
  console.log(`${layers} layers of ${mib} MiB, ${Math.round(total / MIB)} MiB compressed`)
  await measured('pull', strata('whole', 'pull', '-q', `${registry.address}/bench/large:1`))
  await measured('tag', strata('whole', 'tag', `${registry.address}/bench/large:1`, `${empty.address}/bench/large:1`))
  await measured('push', strata('whole', 'push', '-q', `${empty.address}/bench/large:1`))
  await rm(join(scratch, 'whole'), { recursive: true })

  await using proxy = await faultyProxy(registry.address)
  const [file = '', ...args] = strata('killed', 'pull', '-q', `${proxy.address}/bench/large:1`)
  const killed = spawn(file, args, { stdio: 'ignore' })
  while (killed.exitCode === null && proxy.blobBytes() < total * 0.9) await new Promise(resolve => setTimeout(resolve, 1))
  killed.kill('SIGKILL')
  await once(killed, 'close')
  const before = proxy.blobBytes()
  await measured('pull, killed at 90 % and started again', [file, ...args])
  console.log(`fetched again: ${(((proxy.blobBytes() - before) / total) * 100).toFixed(1)} % of the bytes, with the last tenth`)
} finally {
  await rm(scratch, { recursive: true, force: true })
}
