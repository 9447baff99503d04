import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, readlinkSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import { fileStream, readAtMost, streamOf } from '../../src/base/index.ts'
import type { ContainerImage } from '../../src/container/index.ts'
import { encodeTarHeader, TAR_END, tarPadding, type TarHeader } from '../../src/tar/index.ts'
import { openWorkshop, remains, runToEnd, whyNot, type Workshop } from './workshop.ts'

const skip = await whyNot()
let workshop: Workshop
let busybox: ContainerImage
/** One container that runs and one that never did, made alike. */
const containers: string[] = []
let host: string

before(async () => {
  if (skip !== false) return
  workshop = await openWorkshop()
  busybox = await workshop.busybox()
  host = await mkdtemp(join(tmpdir(), 'strata-cp-'))
})

after(async () => {
  if (skip !== false) return
  await workshop[Symbol.asyncDispose]()
  rmSync(host, { recursive: true, force: true })
})

const SETUP = [
  'mkdir -p /srv/dir/sub /srv/empty /run /srv/deep/run',
  'echo file > /srv/file; chmod 640 /srv/file; chown 33:33 /srv/file',
  'echo one > /srv/dir/one; echo two > /srv/dir/sub/two; ln /srv/dir/one /srv/dir/again',
  'ln -s dir /srv/to-dir; ln -s /srv/file /srv/to-file; ln -s /nowhere /srv/dangling; ln -s ../../../../../../etc/passwd /srv/dir/up',
  'ln -s /run /var/run; ln -s /etc /srv/to-etc; mkfifo /srv/dir/pipe; touch -d "2001-02-03 04:05:06" /srv/file',
].join('; ')

beforeEach(async () => {
  if (skip !== false || containers.length > 0) return
  const stopped = await runToEnd(workshop, busybox, { command: ['sh', '-c', SETUP] })
  const options = { image: busybox.name, network: 'none', command: ['sh', '-c', `${SETUP}; touch /ready; sleep 1000`] }
  const { id } = await workshop.containers.run(options, busybox)
  containers.push(stopped.id, id)
  while (
    await workshop.containers.statPath(id, '/ready').then(
      () => false,
      () => true,
    )
  )
    await new Promise(resolve => setTimeout(resolve, 20))
})

/** A new directory of this machine, and its content as `type path content` lines. */
function scratch(): string {
  const path = join(host, Math.random().toString(36).slice(2))
  mkdirSync(path)
  return path
}

function tree(path: string): string[] {
  const names = execFileSync('find', ['.', '-mindepth', '1', '-printf', '%y %P %l\n'], { cwd: path, encoding: 'utf8' })
  return names
    .split('\n')
    .filter(line => line !== '')
    .map(line => line.trim())
    .sort()
}

async function inContainer(id: string, script: string): Promise<string> {
  // The stopped one is looked at through an archive of it.
  const tar = await workshop.containers.export(id)
  const bytes = await readAtMost(tar, 2 ** 28)
  const path = join(host, 'export.tar')
  writeFileSync(path, bytes)
  const root = scratch()
  execFileSync('tar', ['-xpf', path, '-C', root])
  try {
    return execFileSync('sh', ['-c', script], { cwd: root, encoding: 'utf8' })
  } finally {
    rmSync(root, { recursive: true })
  }
}

for (const which of [0, 1]) {
  const kind = which === 0 ? 'a stopped container' : 'a running container'
  const id = (): string => containers[which]!

  test(`copyToHost() from ${kind} follows the table of docker's documentation`, { skip }, async () => {
    const { containers: c } = workshop
    const to = scratch()
    // A file to a name, onto a file, into a directory.
    await c.copyToHost(id(), '/srv/file', join(to, 'new'))
    assert.equal(readFileSync(join(to, 'new'), 'utf8'), 'file\n')
    writeFileSync(join(to, 'present'), 'longer than what comes')
    await c.copyToHost(id(), 'srv/file', join(to, 'present'))
    assert.equal(readFileSync(join(to, 'present'), 'utf8'), 'file\n')
    mkdirSync(join(to, 'd'))
    await c.copyToHost(id(), '/srv/file', join(to, 'd'))
    assert.deepEqual(tree(join(to, 'd')), ['f file'])
    await assert.rejects(c.copyToHost(id(), '/srv/file', join(to, 'missing/')), { code: 'STRATA_NO_TARGET_DIRECTORY' })
    await assert.rejects(c.copyToHost(id(), '/srv/file', join(to, 'missing/name')), { code: 'STRATA_NO_TARGET_DIRECTORY' })
    await assert.rejects(c.copyToHost(id(), '/srv/file/', to), { code: 'STRATA_NOT_A_DIRECTORY' })
    await assert.rejects(c.copyToHost(id(), '/srv/nothing', to), { code: 'STRATA_NO_SUCH_PATH', kind: 'notFound' })
    // A directory to a name, into a directory, its content into a directory, onto a file.
    const content = ['d sub', 'f again', 'f one', 'f sub/two', 'l up ../../../../../../etc/passwd', 'p pipe']
    await c.copyToHost(id(), '/srv/dir', join(to, 'made'))
    assert.deepEqual(tree(join(to, 'made')), content)
    await c.copyToHost(id(), '/srv/dir', join(to, 'd'))
    assert.deepEqual(tree(join(to, 'd/dir')), content)
    mkdirSync(join(to, 'e'))
    await c.copyToHost(id(), '/srv/dir/.', join(to, 'e'))
    assert.deepEqual(tree(join(to, 'e')), content)
    await c.copyToHost(id(), '/srv/dir/.', join(to, 'made-too'))
    assert.deepEqual(tree(join(to, 'made-too')), content)
    await assert.rejects(c.copyToHost(id(), '/srv/dir', join(to, 'new')), { code: 'STRATA_INVALID_COPY' })
    assert.equal(statSync(join(to, 'made/one')).ino, statSync(join(to, 'made/again')).ino)
    // Links: the link itself, what it leads to with followLink or a slash.
    await c.copyToHost(id(), '/srv/to-file', join(to, 'link'))
    assert.equal(readlinkSync(join(to, 'link')), '/srv/file')
    rmSync(join(to, 'link'))
    await c.copyToHost(id(), '/srv/to-file', join(to, 'link'), { followLink: true })
    assert.equal(readFileSync(join(to, 'link'), 'utf8'), 'file\n')
    await c.copyToHost(id(), '/srv/to-dir/', join(to, 'through'))
    assert.deepEqual(tree(join(to, 'through')), content)
  })

  test(
    `copies from ${kind} belong to the caller, or with keepOwners to whom they belonged; modes and times are kept`,
    { skip },
    async () => {
      const to = scratch()
      await workshop.containers.copyToHost(id(), '/srv/file', join(to, 'mine'))
      await workshop.containers.copyToHost(id(), '/srv/file', join(to, 'theirs'), { keepOwners: true })
      const mine = statSync(join(to, 'mine'))
      const theirs = statSync(join(to, 'theirs'))
      assert.deepEqual([mine.uid, mine.gid, theirs.uid, theirs.gid], [0, 0, 33, 33])
      assert.equal(mine.mode & 0o7777, 0o640)
      assert.equal(mine.mtime.toISOString(), '2001-02-03T04:05:06.000Z')
    },
  )

  test(`copyFromHost() to ${kind} follows the table, and /var/run is where its link leads (hostile #47)`, { skip }, async () => {
    const { containers: c } = workshop
    const from = scratch()
    mkdirSync(join(from, 'd/inner'), { recursive: true })
    writeFileSync(join(from, 'd/inner/x'), 'x')
    writeFileSync(join(from, 'f'), 'f')
    symlinkSync('f', join(from, 'l'))
    chmodSync(join(from, 'f'), 0o751)
    await c.copyFromHost(join(from, 'f'), id(), '/var/run/legit')
    await c.copyFromHost(join(from, 'f'), id(), '/srv/empty')
    await c.copyFromHost(join(from, 'd'), id(), '/srv/empty')
    await c.copyFromHost(join(from, 'd/.'), id(), '/srv/empty/made')
    await c.copyFromHost(join(from, 'l'), id(), '/srv/empty/link')
    await c.copyFromHost(join(from, 'l'), id(), '/srv/empty/followed', { followLink: true })
    await c.copyFromHost(join(from, 'f'), id(), '/srv/to-dir')
    await c.copyFromHost(join(from, 'f'), id(), '/srv/to-file')
    await assert.rejects(c.copyFromHost(join(from, 'f'), id(), '/srv/none/'), { code: 'STRATA_NO_TARGET_DIRECTORY' })
    await assert.rejects(c.copyFromHost(join(from, 'd'), id(), '/srv/file'), { code: 'STRATA_INVALID_COPY' })
    await assert.rejects(c.copyFromHost(join(from, 'none'), id(), '/srv'), { kind: 'notFound' })
    const listing = await inContainer(
      id(),
      'find run/legit srv/empty srv/dir/f srv/file srv/to-file -printf "%y %p %l %m %U:%G %s\\n" | sort',
    )
    assert.equal(
      // How large a directory is depends on the disk.
      listing.replaceAll(/^(d .*) \d+$/gm, '$1'),
      [
        'd srv/empty  755 0:0',
        'd srv/empty/d  755 0:0',
        'd srv/empty/d/inner  755 0:0',
        'd srv/empty/made  755 0:0',
        'd srv/empty/made/inner  755 0:0',
        'f run/legit  751 0:0 1',
        'f srv/dir/f  751 0:0 1',
        'f srv/empty/d/inner/x  644 0:0 1',
        'f srv/empty/f  751 0:0 1',
        'f srv/empty/followed  751 0:0 1',
        'f srv/empty/made/inner/x  644 0:0 1',
        'f srv/file  751 0:0 1',
        'l srv/empty/link f 777 0:0 1',
        'l srv/to-file /srv/file 777 0:0 9',
        '',
      ].join('\n'),
    )
  })

  test(`copyFrom() and statPath() of ${kind} have docker's names; GNU tar reads the archive`, { skip }, async () => {
    const { stat, tar } = await workshop.containers.copyFrom(id(), '/srv/dir')
    assert.deepEqual([stat.name, stat.type, stat.linkTarget], ['dir', 'directory', ''])
    const path = join(host, 'from.tar')
    writeFileSync(path, await readAtMost(tar, 2 ** 20))
    const names = execFileSync('tar', ['-tf', path], { encoding: 'utf8' }).trim().split('\n')
    assert.equal(names[0], 'dir/')
    assert.ok(names.includes('dir/sub/two'))
    const link = await workshop.containers.statPath(id(), '/srv/to-file')
    assert.deepEqual([link.type, link.linkTarget, link.name], ['symlink', '/srv/file', 'to-file'])
    await assert.rejects(workshop.containers.statPath(id(), '/srv/nothing'), { kind: 'notFound' })
    assert.deepEqual((await workshop.containers.statPath(id(), '/')).type, 'directory')
  })

  test(`copyTo() unpacks a compressed tar in a directory of ${kind}`, { skip }, async () => {
    const from = scratch()
    writeFileSync(join(from, 'packed'), 'packed')
    execFileSync('tar', ['-czf', join(host, 'to.tgz'), '-C', from, '.'])
    await workshop.containers.copyTo(id(), '/srv/dir', fileStream(join(host, 'to.tgz')))
    assert.equal(await inContainer(id(), 'cat srv/dir/packed'), 'packed')
    await assert.rejects(workshop.containers.copyTo(id(), '/srv/file', fileStream(join(host, 'to.tgz'))), {
      code: 'STRATA_NOT_A_DIRECTORY',
    })
    await assert.rejects(workshop.containers.copyTo(id(), '/srv/none', fileStream(join(host, 'to.tgz'))), { kind: 'notFound' })
  })

  test(`hostile #48: paths of ${kind} that go up beyond its root, or through its links, stay in it`, { skip }, async () => {
    const to = scratch()
    await workshop.containers.copyToHost(id(), '/srv/dir/../../../../../../etc/os-release', join(to, 'a'))
    await workshop.containers.copyToHost(id(), '/srv/to-etc/os-release', join(to, 'b'))
    await workshop.containers.copyToHost(id(), '/srv/dir/up', join(to, 'c'), { followLink: true })
    for (const name of ['a', 'b']) assert.match(readFileSync(join(to, name), 'utf8'), /BusyBox/)
    assert.match(readFileSync(join(to, 'c'), 'utf8'), /^root:x:0:0:root:\/root:\/bin\/sh\nwww/)
    await assert.rejects(workshop.containers.copyToHost(id(), '/proc/self/root/etc/passwd', join(to, 'd')), { kind: 'notFound' })
  })

  test(
    `hostile #44: an archive for ${kind} that climbs out, or writes through its own links, touches nothing of this machine`,
    { skip },
    async () => {
      const victim = scratch()
      writeFileSync(join(victim, 'precious'), 'precious', { mode: 0o600 })
      const escaping = streamOf(...entry({ path: '../../../../../..' + victim + '/precious', type: 'file' }, 'owned'), TAR_END)
      await assert.rejects(workshop.containers.copyTo(id(), '/srv', escaping), { code: 'STRATA_PATH_ESCAPES_ROOT' })
      const linked = streamOf(
        ...entry({ path: 'out', type: 'symlink', linkPath: victim }),
        ...entry({ path: 'out/precious', type: 'file', mode: 0o666 }, 'owned'),
        TAR_END,
      )
      await workshop.containers.copyTo(id(), '/srv', linked).catch(() => undefined)
      const hard = streamOf(...entry({ path: 'hard', type: 'hardlink', linkPath: 'out/precious' }), TAR_END)
      await workshop.containers.copyTo(id(), '/srv', hard).catch(() => undefined)
      assert.equal(readFileSync(join(victim, 'precious'), 'utf8'), 'precious')
      assert.equal(statSync(join(victim, 'precious')).mode & 0o777, 0o600)
      assert.equal(statSync(join(victim, 'precious')).nlink, 1)
      // What a tar means by a link of its own is inside the container.
      const inside = streamOf(
        ...entry({ path: 'etc-link', type: 'symlink', linkPath: '/etc' }),
        ...entry({ path: 'etc-link/strata-hostile-44', type: 'file' }, 'inside'),
        TAR_END,
      )
      await workshop.containers.copyTo(id(), '/srv', inside)
      assert.equal(await inContainer(id(), 'cat etc/strata-hostile-44'), 'inside')
      assert.equal(existsSync('/etc/strata-hostile-44'), false)
    },
  )
}

test("copyToHost() gives the container's own /etc/hosts, and a copy onto it is refused", { skip }, async () => {
  const to = scratch()
  await workshop.containers.copyToHost(containers[1]!, '/etc/hosts', to)
  assert.match(readFileSync(join(to, 'hosts'), 'utf8'), /127\.0\.0\.1\tlocalhost/)
  await assert.rejects(workshop.containers.copyFromHost(join(to, 'hosts'), containers[1]!, '/etc/hosts'), { code: 'STRATA_PATH_BUSY' })
})

test('copies go into volumes and binds where the container has them, and not into read-only ones', { skip }, async () => {
  const bound = scratch()
  const from = scratch()
  writeFileSync(join(from, 'f'), 'f')
  const options = {
    image: busybox.name,
    command: ['true'],
    network: 'none',
    binds: [`cp-volume:/data`, `${bound}:/data/bound`, `${bound}:/fixed:ro`],
  }
  const { id } = await workshop.containers.create(options, busybox)
  await workshop.containers.copyFromHost(join(from, 'f'), id, '/data/in-volume')
  await workshop.containers.copyFromHost(join(from, 'f'), id, '/data/bound/in-bind')
  const { Mountpoint } = await workshop.containers.inspectVolume('cp-volume')
  assert.ok(existsSync(join(Mountpoint, 'in-volume')))
  assert.ok(existsSync(join(bound, 'in-bind')))
  await assert.rejects(workshop.containers.copyFromHost(join(from, 'f'), id, '/fixed/x'), { code: 'STRATA_READ_ONLY' })
  await workshop.containers.copyToHost(id, '/data', join(from, 'out'))
  assert.deepEqual(tree(join(from, 'out')), ['d bound', 'f bound/in-bind', 'f in-volume'])
  await workshop.containers.remove(id)
})

test(
  'hostile #42 #46: a container that swaps a directory for a link all the time leads no copy out',
  { skip, timeout: 20_000 },
  async () => {
    const victim = scratch()
    writeFileSync(join(victim, 'secret'), 'secret of this machine')
    const swap = `mkdir -p /race/real; echo inside > /race/real/secret; ln -s ${victim} /race/link; cp -r /race/real /race/dir;
    while :; do mv /race/dir /race/old; ln -s ${victim} /race/dir; rm /race/dir; mv /race/old /race/dir; done`
    const { id } = await workshop.containers.run({ image: busybox.name, command: ['sh', '-c', swap], network: 'none' }, busybox)
    containers.push(id)
    const from = scratch()
    writeFileSync(join(from, 'planted'), 'planted')
    const to = scratch()
    let copied = 0
    // How often the directory is there when a copy looks depends on what else this machine does.
    const isEnough = (): boolean => copied > 5
    for (let round = 0; round < 60 || (!isEnough() && round < 600); round += 1) {
      await workshop.containers.copyToHost(id, '/race/dir/secret', join(to, 'got')).then(
        () => (copied += 1),
        () => undefined,
      )
      if (existsSync(join(to, 'got'))) assert.equal(readFileSync(join(to, 'got'), 'utf8'), 'inside\n')
      await workshop.containers.copyFromHost(join(from, 'planted'), id, '/race/dir/planted').then(
        () => (copied += 1),
        () => undefined,
      )
      await workshop.containers.copyFromHost(from, id, '/race/dir').catch(() => undefined)
      assert.deepEqual(tree(victim), ['f secret'])
    }
    assert.ok(isEnough(), `only ${copied} copies came through`)
  },
)

test('nothing is left mounted for copies', { skip }, async () => {
  for (const id of containers) await workshop.containers.remove(id, { force: true })
  assert.deepEqual(remains(workshop), [])
})

function entry(of: Partial<TarHeader> & { path: string; type: TarHeader['type'] }, content = ''): Uint8Array[] {
  const body = Buffer.from(content)
  const header: TarHeader = {
    linkPath: '',
    mode: 0o644,
    uid: 0,
    gid: 0,
    userName: '',
    groupName: '',
    size: body.length,
    modifiedAt: { seconds: 0, nanoseconds: 0 },
    xattrs: new Map(),
    ...of,
  }
  return [encodeTarHeader(header), body, tarPadding(body.length)]
}
