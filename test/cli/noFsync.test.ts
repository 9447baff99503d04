import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { busyboxRootfs } from '../../scripts/fixtures/rootFilesystems.ts'
import { findProgram, runProgram } from '../../src/base/index.ts'
import { openEngine } from '../../src/engine/index.ts'
import { mountsBelow, unmount } from '../../src/host/index.ts'
import { must } from '../support/commands.ts'
import { type LoopbackRegistry, startRegistry } from '../support/loopbackRegistry.ts'
import { whyNot } from '../container/workshop.ts'

/* The kernel's own account of what waits for the disk, in commands as people type them. */

const STRATA = fileURLToPath(new URL('../../bin/strata', import.meta.url))
const SYNCS = ['fsync', 'fdatasync', 'sync', 'syncfs', 'sync_file_range', 'msync']
const skip = (await whyNot()) || ((await findProgram('strace')) === undefined ? 'strace is not installed' : false)

let scratch: string
let registry: LoopbackRegistry
let image: string

before(async () => {
  if (skip !== false) return
  scratch = await mkdtemp(join(tmpdir(), 'strata-no-fsync-'))
  registry = await startRegistry()
  image = `${registry.address}/no-fsync:1`
  const tar = join(scratch, 'image.tar')
  // So much that a layer begins to go to the disk while it arrives, also where it is compressed.
  await must(
    'sh',
    '-c',
    `cp ${await busyboxRootfs()} ${tar} && cd ${scratch} && head -c 20000000 /dev/urandom > large && tar -rf ${tar} large`,
  )
  await using engine = await openEngine({ root: join(scratch, 'made') })
  await engine.import(tar, { reference: image })
  await engine.push(image)
})
after(async () => {
  if (skip !== false) return
  await registry[Symbol.asyncDispose]()
  await rm(scratch, { recursive: true, force: true })
})

/** Everything that writes, on a root of its own: how often each system call was made that waits for the disk. */
async function syncsOf(name: string, globals: readonly string[]): Promise<ReadonlyMap<string, number>> {
  const root = join(scratch, name)
  const log = join(scratch, `${name}.log`)
  const tracer = ['-f', '-qq', '--seccomp-bpf', '-A', '-o', log, '-e', `trace=${SYNCS.join(',')},openat`]
  const archive = join(scratch, `${name}.tar`)
  try {
    for (const words of [
      ['pull', image],
      ['run', '--name', 'one', '--network', 'none', '-v', 'some:/volume', image, '/bin/touch', '/volume/x', '/changed'],
      ['run', '--name', 'other', '-d', image, '/bin/true'],
      ['wait', 'other'],
      ['cp', STRATA, 'one:/copied'],
      ['commit', 'one', 'committed'],
      ['export', '-o', join(scratch, `${name}-exported.tar`), 'one'],
      ['save', '-o', archive, image, 'committed'],
      ...['dir', 'oci', 'oci-archive', 'docker-archive'].map(kind => [
        'copy',
        `strata:${image}`,
        `${kind}:${join(scratch, `${name}-${kind}`)}`,
      ]),
      ['rm', '-v', 'one', 'other'],
      ['rmi', image, 'committed'],
      ['load', '-i', archive],
      ['import', join(scratch, `${name}-exported.tar`), 'imported'],
      ['volume', 'rm', 'some'],
      ['system', 'prune', '-af', '--volumes'],
    ]) {
      const ran = await runProgram('strace', [...tracer, STRATA, '--root', root, ...globals, ...words], {
        timeoutMs: 60_000,
      })
      assert.equal(ran.code, 0, `${words.join(' ')}: ${ran.stderr}`)
    }
    return countSyncs(await readFile(log, 'utf8'))
  } finally {
    for (const { target } of mountsBelow(root).toReversed()) unmount(target)
  }
}

function countSyncs(log: string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  for (const line of log.split('\n')) {
    const [, call = '', rest = ''] = /^\d+ +(\w+)\((.*)/.exec(line) ?? []
    // koffi flushes stdout and stderr when a process ends. They are no files of a store.
    if (call === 'fsync' && /^[12]\b/.test(rest)) continue
    const sync = SYNCS.includes(call) ? call : /\bO_D?SYNC\b/.exec(rest)?.[0]
    if (sync !== undefined) counts.set(sync, (counts.get(sync) ?? 0) + 1)
  }
  return counts
}

/** Those that this kernel can mount. */
const DRIVERS = ['overlay2', ...(/\berofs$/m.test(readFileSync('/proc/filesystems', 'utf8')) ? ['erofs'] : [])]

for (const driver of DRIVERS) {
  test(`strata --no-fsync makes no system call that waits for the disk, on ${driver}`, { skip }, async () => {
    assert.deepEqual([...(await syncsOf(driver, ['--storage-driver', driver, '--no-fsync']))], [])
  })
}

test('strata waits for the disk unless it is told not to', { skip }, async t => {
  const syncs = await syncsOf('durable', [])
  const told = [...syncs].map(([call, count]) => `${call}: ${count}`).join(', ')
  t.diagnostic(told)
  for (const call of ['fsync', 'syncfs', 'sync_file_range']) assert.ok((syncs.get(call) ?? 0) > 0, told)
})

test('strata info warns of a store that nobody syncs', { skip }, async () => {
  const info = async (...globals: readonly string[]): Promise<string> =>
    (await runProgram(STRATA, ['--root', join(scratch, 'told'), ...globals, 'info'])).stderr
  assert.match(await info('--no-fsync'), /^WARNING: No fsync: /m)
  assert.doesNotMatch(await info(), /fsync/)
})
