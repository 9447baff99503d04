/*
 * node bench/serveClients.ts
 *
 * dockerd, podman and containerd of another system pull from `strata serve`, run what they have got, and push it back under
 * another name. Needs what the benchmarks need: see README.md.
 */
import assert from 'node:assert/strict'
import { createReadStream } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { busyboxRootfs } from '../scripts/fixtures/rootFilesystems.ts'
import { streamOf } from '../src/base/index.ts'
import { type Engine, openEngine } from '../src/engine/index.ts'
import { containerd } from './contenders/containerd.ts'
import type { Contender } from './contenders/contender.ts'
import { dockerd } from './contenders/dockerd.ts'
import { podman } from './contenders/podman.ts'
import { tarOf } from './images/generatedTar.ts'
import { FreshDisk } from './measure/freshDisk.ts'
import type { Command } from './measure/measure.ts'
import { openPeers, type Peers } from './peers/peers.ts'
import { BENCH_CACHE } from './places.ts'
import { must } from './programs.ts'

const TEXT = 'served by Strata'

const done = ({ file, args, env }: Command): Promise<string> => must(file, args, { env })

async function tryClient(
  contender: Contender,
  peers: Peers,
  { engine, address }: { readonly engine: Engine; readonly address: string },
): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const disk = stack.use(await FreshDisk.make(join(BENCH_CACHE, 'disks'), peers.workspace))
  const directory = join(disk.mountPoint, 'store')
  const runDirectory = join(peers.workspace, 'run', `${contender.name}-${process.pid}`)
  stack.defer(async () => rm(runDirectory, { recursive: true, force: true }))
  for (const path of [directory, runDirectory]) await mkdir(path, { recursive: true })
  const { verbs } = stack.use(await contender.open({ directory, runDirectory, inGroup: command => command }))
  const [pulled, pushed] = [`${address}/team/app:1`, `${address}/from-${contender.name}/app:1`]
  await done(verbs.pull!(pulled))
  assert.equal(await done(verbs.run!(pulled, ['/bin/cat', '/text'])), TEXT)
  await done(verbs.tag!(pulled, pushed))
  await done(verbs.push!(pushed))
  const text = await Array.fromAsync(await engine.readFile(pushed, '/text'), chunk => Buffer.from(chunk))
  assert.equal(Buffer.concat(text).toString(), TEXT)
  process.stdout.write(`${await contender.versions()}: pulled, ran and pushed\n`)
}

const scratch = await mkdtemp(join(tmpdir(), 'strata-serve-clients-'))
try {
  await using engine = await openEngine({ root: join(scratch, 'root') })
  await engine.import(createReadStream(await busyboxRootfs()), { reference: 'base:1' })
  const { id } = await engine.create({ image: 'base:1', command: ['sh'], network: 'none' })
  await engine.copyTo(id, '/', streamOf(Buffer.concat([...tarOf([['text', Buffer.from(TEXT)]])])))
  await engine.commit(id, { reference: 'team/app:1' })
  await using server = await engine.serve({ listen: '127.0.0.1:0', writable: true })
  await using peers = await openPeers()
  for (const client of [dockerd, podman, containerd]) await tryClient(client(peers), peers, { engine, address: server.address })
} finally {
  await rm(scratch, { recursive: true, force: true })
}
