import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { readAtMost } from '../../src/base/index.ts'
import type { ContainerImage, ContainerOptions } from '../../src/container/index.ts'
import { mountsBelow } from '../../src/host/index.ts'
import { openWorkshop, remains, runToEnd, whyNot, type Workshop } from './workshop.ts'

/* Copies in and out of containers that are made to lead them astray: volumes, read-only places, special files. */

const skip = await whyNot()
let workshop: Workshop
let busybox: ContainerImage
let host: string

before(async () => {
  if (skip !== false) return
  workshop = await openWorkshop()
  busybox = await workshop.busybox()
  host = mkdtempSync(join(tmpdir(), 'strata-copies-'))
})
after(async () => {
  if (skip !== false) return
  await workshop[Symbol.asyncDispose]()
  rmSync(host, { recursive: true, force: true })
})

let scratches = 0
function scratch(): string {
  const path = join(host, `s${(scratches += 1)}`)
  mkdirSync(path)
  return path
}

/** Files of this machine that no copy may read or change. */
function victim(): { readonly path: string; untouched(): void } {
  const path = scratch()
  writeFileSync(join(path, 'secret'), 'of this machine', { mode: 0o600 })
  return {
    path,
    untouched() {
      assert.deepEqual(execFileSync('ls', ['-A', path], { encoding: 'utf8' }), 'secret\n')
      assert.equal(readFileSync(join(path, 'secret'), 'utf8'), 'of this machine')
      assert.equal(statSync(join(path, 'secret')).mode & 0o7777, 0o600)
    },
  }
}

const options = (more: Partial<ContainerOptions>): ContainerOptions => ({ image: busybox.name, network: 'none', ...more })

/** A stopped container whose process has run a script. */
async function stoppedAfter(script: string, more: Partial<ContainerOptions> = {}): Promise<string> {
  return (await runToEnd(workshop, busybox, { ...more, command: ['sh', '-c', script] })).id
}

function planted(): string {
  const path = join(scratch(), 'planted')
  writeFileSync(path, 'planted')
  return path
}

test(
  'hostile #45: a container that swaps the way to its volume, or moves it, leads no copy and no mount out',
  { skip, timeout: 60_000 },
  async () => {
    const outside = victim()
    mkdirSync(join(host, 'vol'), { recursive: true })
    // Inside there is no such path; on this machine there is.
    const swap = `mkdir -p /srv/up; while :; do mv /srv/up /srv/away; ln -s ${outside.path} /srv/up; rm /srv/up; mv /srv/away /srv/up; done`
    const { id } = await workshop.containers.run(options({ command: ['sh', '-c', swap], binds: ['swapped:/srv/up/volume'] }), busybox)
    const from = planted()
    const to = scratch()
    let copied = 0
    for (let round = 0; round < 40; round += 1) {
      for (const copy of [
        () => workshop.containers.copyFromHost(from, id, '/srv/up/volume/planted'),
        () => workshop.containers.copyFromHost(from, id, '/srv/up/planted'),
        () => workshop.containers.copyToHost(id, '/srv/up/secret', join(to, 'got')),
      ]) {
        await copy().then(
          () => (copied += 1),
          () => undefined,
        )
      }
      assert.equal(existsSync(join(to, 'got')), false)
      assert.deepEqual(
        mountsBelow(host).map(({ target }) => target),
        [],
      )
      outside.untouched()
    }
    assert.ok(copied > 3, `only ${copied} copies came through`)
    await workshop.containers.remove(id, { force: true })
  },
)

test('hostile #45: the place of a volume that the container has made a link is looked for inside', { skip }, async () => {
  const outside = victim()
  const id = await stoppedAfter(`mkdir -p /data; rm -rf /srv; ln -s ${outside.path} /srv`, { binds: ['linked:/opt/v'] })
  const { id: next } = await workshop.containers.create(options({ command: ['true'], volumesFrom: [id] }), busybox)
  for (const each of [id, next]) {
    await workshop.containers.copyFromHost(planted(), each, '/opt/v/planted')
    await assert.rejects(workshop.containers.copyFromHost(planted(), id, '/srv/planted'), { name: 'StrataError' })
  }
  outside.untouched()
  for (const each of [id, next]) await workshop.containers.remove(each)
})

test('hostile #49: links in a volume are links of the container, never of this machine', { skip }, async () => {
  const outside = victim()
  const script = `cd /v; ln -s ${outside.path} out; ln -s ${outside.path}/secret file; ln -s ../../../../../../..${outside.path}/secret up; ln -s / root`
  const id = await stoppedAfter(script, { binds: ['links:/v'] })
  const { containers } = workshop
  const to = scratch()
  for (const path of ['/v/file', '/v/up', '/v/out/secret', '/v/root/../..' + outside.path + '/secret'])
    await assert.rejects(containers.copyToHost(id, path, join(to, 'got'), { followLink: true }), { kind: 'notFound' }, path)
  assert.deepEqual(execFileSync('ls', ['-A', to], { encoding: 'utf8' }), '')
  // Through the root link the container's own root is seen.
  await containers.copyToHost(id, '/v/root/etc/os-release', join(to, 'release'))
  assert.match(readFileSync(join(to, 'release'), 'utf8'), /BusyBox/)
  // What the volume holds comes out as it is: links stay links.
  const { tar } = await containers.copyFrom(id, '/v')
  const bytes = await readAtMost(tar, 2 ** 20)
  assert.equal(bytes.includes('of this machine'), false)
  for (const path of ['/v/out/planted', '/v/file', '/v/up'])
    await containers.copyFromHost(planted(), id, path).catch((error: Error) => assert.match(error.message, /^Cannot /))
  outside.untouched()
  await containers.remove(id)
})

test('hostile #50: what is read-only takes no copy, and what is not takes it, running, paused and stopped', { skip }, async () => {
  const bound = scratch()
  const more = { readOnly: true, binds: ['rw50:/rw', 'ro50:/ro:ro', `${bound}:/bound:ro`], command: ['sleep', '1000'] }
  const { id } = await workshop.containers.run(options(more), busybox)
  const { containers } = workshop
  const from = planted()
  for (const state of ['running', 'paused', 'stopped']) {
    if (state === 'paused') await containers.pause(id)
    if (state === 'stopped') {
      await containers.unpause(id)
      await containers.stop(id, { timeoutSeconds: 0 })
    }
    for (const path of ['/', '/tmp/x', '/etc/passwd', '/ro/x', '/bound/x'])
      await assert.rejects(
        containers.copyFromHost(from, id, path),
        { kind: 'permissionDenied', code: 'STRATA_READ_ONLY' },
        `${state} ${path}`,
      )
    await containers.copyFromHost(from, id, `/rw/${state}`)
    const to = join(scratch(), 'got')
    await containers.copyToHost(id, `/rw/${state}`, to)
    assert.equal(readFileSync(to, 'utf8'), 'planted')
  }
  assert.deepEqual(execFileSync('ls', ['-A', bound], { encoding: 'utf8' }), '')
  await containers.remove(id)
})

test('hostile #50: a copy onto / adds to it, and nothing turns a directory into a file or a file into a directory', { skip }, async () => {
  const id = await stoppedAfter('mkdir -p /there/sub; echo 1 > /there/file; echo 2 > /plain')
  const { containers } = workshop
  const from = scratch()
  mkdirSync(join(from, 'plain'))
  writeFileSync(join(from, 'there'), 'a file')
  writeFileSync(join(from, 'new'), 'new')
  await containers.copyFromHost(join(from, 'new'), id, '/')
  assert.equal((await containers.statPath(id, '/new')).sizeBytes, 3)
  assert.equal((await containers.statPath(id, '/there/sub')).type, 'directory')
  await assert.rejects(containers.copyFromHost(join(from, 'there'), id, '/'), { kind: 'conflict', code: 'STRATA_CANNOT_OVERWRITE' })
  await assert.rejects(containers.copyFromHost(join(from, 'plain'), id, '/'), { kind: 'conflict', code: 'STRATA_CANNOT_OVERWRITE' })
  await assert.rejects(containers.copyFromHost(join(from, 'plain'), id, '/plain'), { code: 'STRATA_INVALID_COPY' })
  await assert.rejects(containers.copyFromHost(join(from, 'plain'), id, '/plain/'), { kind: 'invalidArgument' })
  assert.equal((await containers.statPath(id, '/plain')).type, 'file')
  assert.equal((await containers.statPath(id, '/there/file')).sizeBytes, 2)
  await containers.remove(id)
})

test(
  'hostile #50: FIFOs, sockets and devices are copied as what they are, or refused; nobody reads them',
  { skip, timeout: 20_000 },
  async () => {
    const id = await stoppedAfter('mkdir /special; cd /special; mkfifo pipe; echo x > file')
    const { containers } = workshop
    const to = scratch()
    await containers.copyToHost(id, '/special', join(to, 'special'))
    assert.ok(statSync(join(to, 'special/pipe')).isFIFO())
    await containers.copyToHost(id, '/special/pipe', join(to, 'pipe'))
    assert.ok(statSync(join(to, 'pipe')).isFIFO())
    // Onto a FIFO: replaced, never written to.
    await containers.copyFromHost(planted(), id, '/special/pipe')
    assert.equal((await containers.statPath(id, '/special/pipe')).type, 'file')

    const from = scratch()
    execFileSync('mkfifo', [join(from, 'pipe')])
    execFileSync('mknod', [join(from, 'endless'), 'c', '1', '5'])
    symlinkSync('/dev/zero', join(from, 'link'))
    await containers.copyFromHost(from, id, '/in')
    assert.equal((await containers.statPath(id, '/in/pipe')).type, 'fifo')
    assert.equal((await containers.statPath(id, '/in/endless')).type, 'character')
    assert.equal((await containers.statPath(id, '/in/link')).type, 'symlink')
    await containers.copyFromHost(join(from, 'link'), id, '/followed', { followLink: true })
    assert.equal((await containers.statPath(id, '/followed')).type, 'character')
    await containers.remove(id)
    assert.deepEqual(remains(workshop), [])
  },
)
