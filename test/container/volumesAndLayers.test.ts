import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { drain, readAtMost } from '../../src/base/index.ts'
import type { ContainerImage, ContainerOptions } from '../../src/container/index.ts'
import { readTar } from '../../src/tar/index.ts'
import { openWorkshop, remains, runToEnd, whyNot, type Workshop } from './workshop.ts'

const skip = await whyNot()
let workshop: Workshop
let busybox: ContainerImage
let scratch: string

before(async () => {
  if (skip !== false) return
  workshop = await openWorkshop()
  busybox = await workshop.busybox()
  scratch = await mkdtemp(join(tmpdir(), 'strata-volumes-'))
})

after(async () => {
  if (skip !== false) return
  await workshop[Symbol.asyncDispose]()
  rmSync(scratch, { recursive: true, force: true })
})

/** An image that is busybox and more. */
async function imageWith(script: string, config: object): Promise<ContainerImage> {
  const finished = await runToEnd(workshop, busybox, { command: ['sh', '-c', script] })
  const path = join(scratch, `${finished.id}.tar`)
  writeFileSync(path, await readAtMost(await workshop.containers.export(finished.id), 2 ** 28))
  await workshop.containers.remove(finished.id)
  return workshop.image(path, { Env: ['PATH=/bin'], Cmd: ['/bin/sh'], ...config })
}

const sh = (script: string, options: Partial<ContainerOptions> = {}): Omit<ContainerOptions, 'image'> => ({
  command: ['sh', '-c', script],
  autoRemove: true,
  ...options,
})

test(
  "an empty volume is filled with the image's content, owners, modes and links; a volume with content is left as it is (hostile #88)",
  { skip },
  async () => {
    const image = await imageWith(
      'mkdir -p /data/sub; echo image > /data/file; chown www:www /data /data/file; chmod 750 /data; ln /data/file /data/sub/again; ln -s file /data/link',
      {
        Volumes: { '/data': {} },
      },
    )
    const first = await runToEnd(
      workshop,
      image,
      sh('stat -c "%U %a" /data; cat /data/link; stat -c %h /data/file; echo more > /data/more', { binds: ['kept:/data'] }),
    )
    assert.equal(first.stdout, 'www 750\nimage\n2\n')
    await runToEnd(workshop, image, sh('rm /data/file', { binds: ['kept:/data'] }))
    const second = await runToEnd(workshop, image, sh('ls /data', { binds: ['kept:/data'] }))
    assert.equal(second.stdout, 'link\nmore\nsub\n')
    const nocopy = await runToEnd(workshop, image, sh('ls -A /data', { binds: ['bare:/data:nocopy'] }))
    assert.equal(nocopy.stdout, '')
    // The image's own volume is anonymous, and goes with the container that removes itself.
    const names = (await workshop.containers.volumes()).map(({ Name }) => Name)
    assert.deepEqual(names, ['bare', 'kept'])
    await workshop.containers.removeVolume('bare')
    await workshop.containers.removeVolume('kept')
  },
)

test('hostile #87: a VOLUME of an image that is a link copies nothing of this machine', { skip }, async () => {
  const victim = join(scratch, 'victim')
  mkdirSync(victim)
  writeFileSync(join(victim, 'secret'), 'of this machine')
  const image = await imageWith(`ln -s ${victim} /leak; ln -s ../../../../../..${victim} /climb; ln -s /etc /inside`, {
    Volumes: { '/inside': {} },
  })
  for (const target of ['/leak', '/climb']) {
    const { stdout } = await runToEnd(workshop, image, sh(`ls -A ${target} 2>&1`, { binds: [`v${target.slice(1)}:${target}`] })).catch(
      () => ({ stdout: '' }),
    )
    assert.doesNotMatch(stdout, /secret/)
    const { Mountpoint } = await workshop.containers.inspectVolume(`v${target.slice(1)}`)
    assert.deepEqual(readdirSync(Mountpoint), [])
  }
  assert.deepEqual(readdirSync(victim), ['secret'])
  for (const { Name } of await workshop.containers.volumes()) await workshop.containers.removeVolume(Name)
})

test('binds, tmpfs, read-only mounts and volumes of other containers are where they are asked for', { skip }, async () => {
  const source = join(scratch, 'made/by/bind')
  const script = 'cat /conf/x; touch /conf/y 2>&1; df -k /tmpfs | tail -1 | cut -c1-5; touch /vol/from-first; touch /etc/new'
  const options = sh(script, {
    binds: [`${source}:/new`, `${scratch}/conf:/conf:ro`],
    tmpfs: { '/tmpfs': 'size=1m' },
    mounts: [{ type: 'volume', source: 'shared', target: '/vol' }],
  })
  mkdirSync(join(scratch, 'conf'))
  writeFileSync(join(scratch, 'conf/x'), 'conf\n')
  const first = await runToEnd(workshop, busybox, { ...options, autoRemove: false, name: 'first' })
  assert.equal(first.stdout, 'conf\ntouch: /conf/y: Read-only file system\ntmpfs\n')
  assert.ok(statSync(source).isDirectory())
  const second = await runToEnd(workshop, busybox, sh('ls /vol; touch /vol/x 2>&1', { volumesFrom: ['first:ro'] }))
  assert.equal(second.stdout, 'from-first\ntouch: /vol/x: Read-only file system\n')
  await assert.rejects(workshop.containers.removeVolume('shared'), { code: 'STRATA_VOLUME_IN_USE', kind: 'conflict' })
  await workshop.containers.remove('first')
  await workshop.containers.removeVolume('shared')
  await assert.rejects(runToEnd(workshop, busybox, sh('true', { mounts: [{ type: 'bind', source: '/no/such/place', target: '/x' }] })), {
    code: 'STRATA_INVALID_MOUNT',
  })
  await assert.rejects(runToEnd(workshop, busybox, sh('true', { binds: ['aa:/x', 'bb:/x/'] })), { code: 'STRATA_INVALID_MOUNT' })
  assert.deepEqual((await workshop.containers.list({ all: true })).length, 0)
})

test('volumes are made, listed, inspected, pruned; a tmpfs volume is mounted while a container has it', { skip }, async () => {
  const { containers } = workshop
  await containers.createVolume({ name: 'labelled', labels: { a: 'b' } })
  await containers.createVolume({ name: 'memory', driverOptions: { type: 'tmpfs', device: 'tmpfs', o: 'size=2m' } })
  await assert.rejects(containers.createVolume({ name: 'memory', driverOptions: { type: 'tmpfs', device: 'other' } }), {
    code: 'STRATA_VOLUME_EXISTS',
  })
  await assert.rejects(containers.createVolume({ name: '../escape' }), { code: 'STRATA_INVALID_NAME' })
  await assert.rejects(containers.createVolume({ driver: 'nfs-plugin' }), { code: 'STRATA_NO_VOLUME_DRIVER' })
  assert.deepEqual(
    (await containers.volumes({ labels: ['a=b'] })).map(({ Name }) => Name),
    ['labelled'],
  )
  const { stdout } = await runToEnd(workshop, busybox, sh('grep " /m " /proc/mounts | cut -d" " -f3', { binds: ['memory:/m'] }))
  assert.equal(stdout, 'tmpfs\n')
  assert.deepEqual(remains(workshop), [])
  assert.deepEqual((await containers.pruneVolumes()).removed, [])
  assert.deepEqual((await containers.pruneVolumes({ all: true })).removed, ['labelled', 'memory'])
  await assert.rejects(containers.inspectVolume('labelled'), { code: 'STRATA_NO_SUCH_VOLUME' })
})

test(
  'diff() of a container that did nothing is empty, also of an image without any of the places that are mounted on',
  { skip },
  async () => {
    const bare = join(scratch, 'bare')
    execFileSync('sh', [
      '-c',
      `mkdir -p ${bare}/bin && cp $(command -v busybox) ${bare}/bin/ && ln -s busybox ${bare}/bin/sh && tar -C ${bare} -cf ${bare}.tar .`,
    ])
    for (const image of [busybox, await workshop.image(`${bare}.tar`, {})]) {
      const { id } = await runToEnd(workshop, image, { command: ['/bin/busybox', 'cat', '/etc/hosts'] })
      assert.deepEqual(await workshop.containers.diff(id), [])
      const { layer } = await workshop.containers.commitSource(id)
      assert.deepEqual(
        (await readAtMost(layer, 2 ** 20)).every(byte => byte === 0),
        true,
      )
      await workshop.containers.remove(id)
    }
  },
)

test('diff() and the layer of a commit have what was added, changed and deleted, and nothing of mounts', { skip }, async () => {
  const script =
    'echo x > /tmp/new; rm /etc/group; echo >> /etc/passwd; echo 1.2.3.4 more >> /etc/hosts; mkdir /vol/in-volume; chmod 700 /root'
  const { id } = await runToEnd(workshop, busybox, { command: ['sh', '-c', script], binds: ['vol:/vol'] })
  const lines = (await workshop.containers.diff(id)).map(({ kind, path }) => `${kind} ${path}`)
  assert.deepEqual(lines, ['modify /etc', 'delete /etc/group', 'modify /etc/passwd', 'modify /tmp', 'add /tmp/new', 'add /vol'])
  const { layer, imageId, config } = await workshop.containers.commitSource(id)
  assert.equal(imageId, busybox.id)
  assert.deepEqual(config.Env, ['PATH=/bin'])
  const path = join(scratch, 'layer.tar')
  writeFileSync(path, await readAtMost(layer, 2 ** 20))
  const names = execFileSync('tar', ['-tf', path], { encoding: 'utf8' }).trim().split('\n')
  assert.deepEqual(names, ['etc/', 'etc/.wh.group', 'etc/passwd', 'tmp/', 'tmp/new', 'vol/'])
  await workshop.containers.remove(id)
  await workshop.containers.removeVolume('vol')
})

test(
  'commitSource() pauses a running container while its layer is read, and lets it go on also when the reader gives up',
  { skip },
  async () => {
    const command = ['sh', '-c', 'head -c 5000000 /dev/urandom > /big; touch /done; sleep 1000']
    const { id } = await workshop.containers.run({ image: busybox.name, command, network: 'none' }, busybox)
    while (
      await workshop.containers.statPath(id, '/done').then(
        () => false,
        () => true,
      )
    )
      await new Promise(resolve => setTimeout(resolve, 20))
    const status = async (): Promise<string> => (await workshop.containers.inspect(id)).State.Status
    const { layer } = await workshop.containers.commitSource(id)
    for await (const chunk of layer) {
      assert.ok(chunk.length > 0)
      assert.equal(await status(), 'paused')
      break
    }
    assert.equal(await status(), 'running')
    const unpaused = await workshop.containers.commitSource(id, { pause: false })
    for await (const _ of unpaused.layer) {
      assert.equal(await status(), 'running')
      break
    }
    await workshop.containers.remove(id, { force: true })
    assert.deepEqual(remains(workshop), [])
  },
)

test("inspect() and list() have docker's facts and filters", { skip }, async () => {
  const options: ContainerOptions = {
    image: busybox.name,
    name: 'facts',
    command: ['sleep', '100'],
    network: 'none',
    hostname: 'box',
    env: ['A=b'],
    labels: { role: 'test' },
    binds: ['facts-volume:/v:ro'],
    memoryBytes: 64 * 2 ** 20,
    expose: ['80/tcp'],
    restart: { policy: 'on-failure', maximumRetries: 3 },
    stopTimeoutSeconds: 1,
  }
  const { id } = await workshop.containers.run(options, busybox)
  const facts = await workshop.containers.inspect('facts', { size: true })
  assert.equal(facts.Name, '/facts')
  assert.deepEqual([facts.Path, facts.Args], ['sleep', ['100']])
  assert.deepEqual(facts.Config.Env, ['PATH=/bin', 'A=b'])
  assert.equal(facts.Config.Hostname, 'box')
  assert.equal(facts.HostConfig.Memory, 64 * 2 ** 20)
  assert.deepEqual(facts.HostConfig.RestartPolicy, { Name: 'on-failure', MaximumRetryCount: 3 })
  assert.equal(facts.Mounts[0]?.RW, false)
  assert.equal(readFileSync(facts.HostnamePath, 'utf8'), 'box\n')
  assert.ok((facts.SizeRootFs ?? 0) > 500_000)
  assert.ok(existsSync(`/proc/${facts.State.Pid}`))
  const found = async (filter: object): Promise<number> => (await workshop.containers.list(filter)).length
  assert.equal(
    await found({ names: ['^fac'], labels: ['role=test'], statuses: ['running'], ancestors: [busybox.name], volumes: ['facts-volume'] }),
    1,
  )
  for (const filter of [
    { names: ['^x'] },
    { labels: ['role=other'] },
    { statuses: ['exited'] },
    { ancestors: ['nothing'] },
    { before: 'facts' },
    { networks: ['bridge'] },
  ]) {
    assert.equal(await found(filter), 0, JSON.stringify(filter))
  }
  assert.equal(await found({ ids: [id.slice(0, 12)] }), 1)
  await workshop.containers.stop(id)
  assert.equal(await found({}), 0)
  assert.equal(await found({ all: true, exitCodes: [137] }), 1)
  const pruned = await workshop.containers.prune()
  assert.deepEqual(pruned.removed, [id])
  assert.deepEqual(remains(workshop), [])
})

test('what is made for a container has the modes that docker gives it, whatever the umask of the caller', { skip }, async () => {
  const file = join(workshop.root, 'mounted.txt')
  writeFileSync(file, 'text')
  const before = process.umask(0o077)
  try {
    const { stdout } = await runToEnd(workshop, busybox, {
      name: 'modes',
      binds: [`${file}:/made/file`, `${workshop.root}/made-source:/source`, 'modes:/volume/deep'],
      tmpfs: { '/temporary': '' },
      workingDirectory: '/work/here',
      user: '33',
      command: ['sh', '-c', 'cat /made/file; pwd; ls -d /source /volume/deep'],
    })
    assert.equal(stdout, 'text/work/here\n/source\n/volume/deep\n')
  } finally {
    process.umask(before)
  }
  const made = new Map<string, number>()
  for await (const { path, mode, body } of readTar(await workshop.containers.export('modes'))) {
    await drain(body)
    made.set(path.replace(/\/$/, ''), mode)
  }
  const paths = ['made', 'made/file', 'source', 'volume', 'volume/deep', 'temporary', 'work', 'work/here']
  assert.deepEqual(
    paths.map(path => [path, made.get(path)]),
    paths.map(path => [path, 0o755]),
  )
  await workshop.containers.remove('modes', { volumes: true })
})

test('create() refuses storage options: no driver has any for containers', { skip }, async () => {
  await assert.rejects(workshop.containers.create({ image: busybox.name, storageOptions: { size: '1g' } }, busybox), {
    kind: 'unsupported',
    code: 'STRATA_NO_STORAGE_OPTION',
  })
  assert.deepEqual(await workshop.containers.list({ all: true }), [])
})
