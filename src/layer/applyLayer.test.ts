import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { lstat, mkdir, readdir, readFile, readlink, rename, rm, stat, symlink as makeSymlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { fileStream, streamOf } from '../base/index.ts'
import { getXattrAt, CURRENT_DIRECTORY } from '../host/index.ts'
import { TAR_END } from '../tar/index.ts'
import { encodeTarHeader } from '../tar/index.ts'
import {
  applyHere,
  device,
  dir,
  fifo,
  file,
  hardlink,
  type Member,
  makeDirectory,
  needsRoot,
  opaque,
  pictureOfDirectory,
  scratchDirectory,
  symlink,
  tarOf,
  whiteout,
} from '../../test/layer/layerTars.ts'
import { applyLayer, completeLayer, decodeLayerIndex, type Dialect, indexLayer } from './index.ts'

const skip = needsRoot
type Context = Parameters<typeof scratchDirectory>[0]

/** A directory with a neighbour that no layer may touch. */
async function confined(t: Context): Promise<{ root: string; outside: string; unharmed: () => Promise<void> }> {
  const scratch = await scratchDirectory(t)
  const root = await makeDirectory(scratch, 'root')
  const outside = await makeDirectory(scratch, 'outside')
  await writeFile(join(outside, 'victim'), 'precious', { mode: 0o640 })
  const before = await pictureOfDirectory(outside)
  return { root, outside, unharmed: async () => assert.deepEqual(await pictureOfDirectory(outside), before) }
}

const dialects: readonly Dialect[] = ['overlay', 'remove']

for (const dialect of dialects) {
  const apply = (root: string, ...members: Member[]): Promise<unknown> => applyHere(tarOf(...members), root, { dialect })

  test(`hostile #1: applyLayer() (${dialect}) refuses paths that lead out and keeps absolute ones inside`, { skip }, async t => {
    const { root, unharmed } = await confined(t)
    for (const path of ['../outside/victim', 'a/../../outside/victim', '/../outside/victim', '..']) {
      await assert.rejects(apply(root, file(path, 'owned')), { code: 'STRATA_PATH_ESCAPES_ROOT' }, path)
    }
    await apply(root, file('/etc/x', 'inside'), file('a/../b', 'clean'))
    assert.equal(await readFile(join(root, 'etc/x'), 'utf8'), 'inside')
    assert.equal(await readFile(join(root, 'b'), 'utf8'), 'clean')
    await unharmed()
  })

  test(`hostile #2: applyLayer() (${dialect}) follows a symlink of the layer inside the root only`, { skip }, async t => {
    const { root, outside, unharmed } = await confined(t)
    await apply(
      root,
      symlink('a', '/'),
      file('a/etc/x', 'root'),
      symlink('up', '../../../..'),
      file('up/y', 'clamped'),
      symlink('abs', outside),
      file('abs/victim', 'owned'),
      symlink('d/e/root', '/top'),
      file('d/e/root/z', 'from the root, not from here'),
    )
    assert.equal(await readFile(join(root, 'top/z'), 'utf8'), 'from the root, not from here')
    assert.equal(await readFile(join(root, 'etc/x'), 'utf8'), 'root')
    assert.equal(await readFile(join(root, 'y'), 'utf8'), 'clamped')
    assert.equal(await readFile(join(root, outside, 'victim'), 'utf8'), 'owned')
    await unharmed()
  })

  test(`hostile #4: applyLayer() (${dialect}) changes symlinks themselves, never what they point to`, { skip }, async t => {
    const { root, outside, unharmed } = await confined(t)
    const target = join(outside, 'victim')
    await apply(root, symlink('link', target, { mode: 0o7777, uid: 7, gid: 8, xattrs: new Map([['trusted.x', Buffer.from('1')]]) }))
    const made = await lstat(join(root, 'link'))
    assert.deepEqual([made.uid, made.gid], [7, 8])
    await unharmed()
  })

  test(`hostile #5: applyLayer() (${dialect}) resolves hard link targets inside the root`, { skip }, async t => {
    const { root, outside, unharmed } = await confined(t)
    for (const target of ['/../outside/victim', '../outside/victim']) {
      await assert.rejects(apply(root, hardlink('x', target)), { code: 'STRATA_PATH_ESCAPES_ROOT' })
    }
    const complete = async (): Promise<void> => {
      await apply(root, hardlink('x', join(outside, 'victim')))
      await completeLayer(root, [])
    }
    await assert.rejects(complete(), { code: 'STRATA_HARD_LINK_TARGET' })
    await unharmed()
  })

  test(`hostile #6: applyLayer() (${dialect}) takes absolute hard link targets as paths of the root`, { skip }, async t => {
    const { root } = await confined(t)
    await apply(root, file('usr/a', 'kaniko'), hardlink('usr/b', '/usr/a'))
    assert.equal((await stat(join(root, 'usr/b'))).nlink, 2)
    assert.equal(await readFile(join(root, 'usr/b'), 'utf8'), 'kaniko')
  })

  test(`hostile #7: applyLayer() (${dialect}) never looks for a hard link target in the working directory`, { skip }, async t => {
    const { root, outside, unharmed } = await confined(t)
    const before = process.cwd()
    process.chdir(outside)
    try {
      const run = async (): Promise<void> => {
        await apply(root, hardlink('x', 'victim'))
        await completeLayer(root, [])
      }
      await assert.rejects(run(), { code: 'STRATA_HARD_LINK_TARGET' })
    } finally {
      process.chdir(before)
    }
    await unharmed()
  })

  test(`hostile #8, #9, #12: applyLayer() (${dialect}) keeps chains of symlinks and hard links inside`, { skip }, async t => {
    const { root, outside, unharmed } = await confined(t)
    await apply(
      root,
      symlink('a/b/up', '../..'),
      symlink('c', 'a/b/up/..'),
      file('outside/victim', 'inside'),
      hardlink('a/b/escape', 'c/up/../../outside/victim'),
      symlink('out', `../${outside}`),
      hardlink('h', 'out'),
      file('h/x', 'through a hard link to a symlink'),
    )
    assert.equal(await readFile(join(root, 'a/b/escape'), 'utf8'), 'inside')
    assert.equal((await lstat(join(root, 'h'))).isSymbolicLink(), true)
    assert.equal(await readFile(join(root, outside, 'x'), 'utf8'), 'through a hard link to a symlink')
    await unharmed()
  })

  test(`hostile #10: applyLayer() (${dialect}) believes no path: what was a directory may be a symlink by now`, { skip }, async t => {
    const { root, outside, unharmed } = await confined(t)
    await apply(
      root,
      dir('d'),
      file('d/x', '1'),
      symlink('d', outside),
      file('d/victim', 'owned'),
      file('\u00e9', 'composed'),
      file('e\u0301', 'decomposed'),
      dir('D'),
      file('D/x', 'upper case'),
    )
    await unharmed()
    assert.equal(await readlink(join(root, 'd')), outside)
    assert.equal(await readFile(join(root, outside, 'victim'), 'utf8'), 'owned')
    assert.equal(await readFile(join(root, '\u00e9'), 'utf8'), 'composed')
    assert.equal(await readFile(join(root, 'e\u0301'), 'utf8'), 'decomposed')
  })

  test(`hostile #13: applyLayer() (${dialect}) keeps the root a directory`, { skip }, async t => {
    const { root } = await confined(t)
    for (const path of ['/', '.', './', 'a/..']) {
      for (const member of [symlink(path, '/etc'), file(path, 'x'), hardlink(path, 'y'), device(path, 'character', 1, 3)]) {
        await assert.rejects(apply(root, member), { code: 'STRATA_ROOT_NOT_DIRECTORY' })
      }
    }
    await apply(root, dir('./', { mode: 0o711, uid: 3 }))
    const { mode, uid } = await stat(root)
    assert.deepEqual([mode & 0o7777, uid], [0o711, 3])
  })

  test(
    `hostile #2: applyLayer() (${dialect}) gives up on symlinks that lead in a circle, as the kernel does after forty`,
    { skip },
    async t => {
      const { root } = await confined(t)
      const loops = [[symlink('a', 'b'), symlink('b', 'a')], [symlink('a', 'a')], [symlink('a', 'x/../a')], [symlink('a', '/a/../a')]]
      for (const [n, loop] of loops.entries())
        await assert.rejects(apply(await makeDirectory(root, `loop${n}`), ...loop, file('a/f')), { code: 'STRATA_SYMLINK_LOOP' })
      const chain = (length: number): readonly Member[] => Array.from({ length }, (_, n) => symlink(`l${n}`, n === 0 ? '.' : `l${n - 1}`))
      await apply(await makeDirectory(root, 'forty'), ...chain(40), file('l39/f', 'at the end'))
      assert.equal(await readFile(join(root, 'forty/f'), 'utf8'), 'at the end')
      await assert.rejects(apply(await makeDirectory(root, 'more'), ...chain(41), file('l40/f')), { code: 'STRATA_SYMLINK_LOOP' })
    },
  )

  test(
    `hostile #14: applyLayer() (${dialect}) refuses names and paths that Linux cannot have, and takes the longest`,
    { skip },
    async t => {
      const { root } = await confined(t)
      await assert.rejects(apply(root, file('a/'.repeat(10_000) + 'x')), { code: 'STRATA_PATH_INVALID' })
      await assert.rejects(apply(root, file('n'.repeat(256))), { code: 'STRATA_PATH_INVALID' })
      const long = symlink('s', 'x/'.repeat(2000))
      await assert.rejects(apply(root, long, file(`s/${'y/'.repeat(2000)}z`)), { code: 'STRATA_PATH_INVALID' })
      await apply(root, file(`${'a/'.repeat(2040)}x`, 'deep'), file('n'.repeat(255), 'wide'))
      assert.equal(await readFile(join(root, 'n'.repeat(255)), 'utf8'), 'wide')
    },
  )

  test(`hostile #22: applyLayer() (${dialect}) makes devices and FIFOs without ever opening them`, { skip }, async t => {
    const { root } = await confined(t)
    await apply(root, device('null', 'character', 1, 3), device('sda', 'block', 8, 0), fifo('pipe'), hardlink('pipe2', 'pipe'))
    assert.equal((await stat(join(root, 'null'))).isCharacterDevice(), true)
    assert.equal((await stat(join(root, 'sda'))).rdev, 8 * 256)
    assert.equal((await stat(join(root, 'pipe2'))).nlink, 2)
    // Replacing a FIFO, and writing below one, must not open it.
    await assert.rejects(apply(await makeDirectory(root, 'other'), fifo('p'), file('p/x')), { code: 'STRATA_NOT_A_DIRECTORY' })
    for (const bad of [device('z', 'character', 4096, 0), device('z', 'block', 1, 2 ** 20)]) {
      await assert.rejects(apply(await makeDirectory(root, bad.type), bad), { code: 'STRATA_DEVICE_INVALID' })
    }
  })

  test(`hostile #24: applyLayer() (${dialect}) leaves out xattrs that overlayfs would believe, and says how many`, { skip }, async t => {
    const { root } = await confined(t)
    const xattrs = new Map(
      ['trusted.overlay.opaque', 'trusted.overlay.redirect', 'trusted.overlay.metacopy', 'user.overlay.origin', 'user.kept'].map(
        name => [name, Buffer.from('y')] as const,
      ),
    )
    const { strippedXattrs, index } = await applyHere(tarOf(dir('d', { xattrs }), file('f', 'x', { xattrs })), root, { dialect })
    assert.equal(strippedXattrs, 8)
    for (const path of ['d', 'f']) {
      const node = index.get(path)
      assert.deepEqual(node !== undefined && 'xattrs' in node ? [...node.xattrs.keys()] : [], ['user.kept'])
      assert.equal(getXattrAt(CURRENT_DIRECTORY, join(root, path), 'trusted.overlay.opaque'), undefined)
      assert.equal(getXattrAt(CURRENT_DIRECTORY, join(root, path), 'user.kept')?.toString(), 'y')
    }
  })

  test(`hostile #25: applyLayer() (${dialect}) refuses 0:0 character devices`, { skip }, async t => {
    const { root } = await confined(t)
    await assert.rejects(apply(root, device('f', 'character', 0, 0)), { code: 'STRATA_WHITEOUT_DEVICE' })
    assert.deepEqual(await readdir(root), [])
  })

  test(`hostile #26: applyLayer() (${dialect}) keeps capabilities, ACLs and user xattrs although the owner changes`, { skip }, async t => {
    const { root } = await confined(t)
    const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex')
    const acl = Buffer.from('0200000001000600ffffffff020004000100000004000400ffffffff10000600ffffffff20000400ffffffff', 'hex')
    const xattrs = new Map<string, Uint8Array>([
      ['security.capability', capability],
      ['user.note', Buffer.from([0, 255, 10])],
      ['system.posix_acl_access', acl],
    ])
    await apply(
      root,
      file('ping', '#!', { mode: 0o6755, uid: 12, gid: 13, xattrs }),
      hardlink('ping2', 'ping', { mode: 0o6755, uid: 12, gid: 13 }),
    )
    const path = join(root, 'ping2')
    for (const [name, value] of xattrs) assert.deepEqual(getXattrAt(CURRENT_DIRECTORY, path, name), value, name)
    const { mode, uid, gid } = await stat(path)
    assert.deepEqual([mode & 0o7000, uid, gid], [0o6000, 12, 13])
  })

  test(`applyLayer() (${dialect}) gives a hard link that comes twice the attributes of the second`, { skip }, async t => {
    const { root } = await confined(t)
    await apply(root, file('a', 'x'), hardlink('b', 'a'), hardlink('b', 'a', { mode: 0o4711, uid: 7, gid: 8 }))
    const [a, b] = await Promise.all(['a', 'b'].map(name => stat(join(root, name))))
    assert.equal(a!.ino, b!.ino)
    assert.deepEqual([b!.mode & 0o7777, b!.uid, b!.gid, b!.nlink], [0o4711, 7, 8, 2])
  })

  test(`hostile #29, #30: applyLayer() (${dialect}) refuses whiteouts of nothing, of dots, and below whiteouts`, { skip }, async t => {
    const { root, unharmed } = await confined(t)
    for (const path of ['.wh.', '.wh..', '.wh...', 'a/.wh.', 'a/.wh.../x', '.wh.b/x', 'a/.wh..wh..opq/x']) {
      await assert.rejects(apply(root, file(path)), { code: 'STRATA_WHITEOUT_INVALID' }, path)
    }
    await assert.rejects(apply(root, symlink('s', '.wh.b'), file('s/x')), { code: 'STRATA_WHITEOUT_INVALID' })
    await assert.rejects(apply(root, hardlink('s', '.wh.b')), { code: 'STRATA_HARD_LINK_TARGET' })
    await unharmed()
  })

  test(`hostile #34: applyLayer() (${dialect}) takes whiteouts of what does not exist`, { skip }, async t => {
    const { root } = await confined(t)
    await apply(root, whiteout('nope'), whiteout('no/such/thing'))
    await completeLayer(root, [])
    assert.deepEqual(Object.keys(await pictureOfDirectory(root)), ['', 'no', 'no/such'])
  })

  test(`hostile #36: applyLayer() (${dialect}) ignores what AUFS kept for itself`, { skip }, async t => {
    const { root } = await confined(t)
    await apply(root, dir('.wh..wh.plnk'), file('.wh..wh.plnk/1.2', 'x'), file('.wh..wh.aufs'), dir('.wh..wh.orph'), file('f', 'kept'))
    assert.deepEqual(await readdir(root), ['f'])
    await assert.rejects(apply(root, hardlink('g', '.wh..wh.plnk/1.2')), { code: 'STRATA_HARD_LINK_TARGET' })
  })

  test(`applyLayer() (${dialect}) lets the last entry of a path win`, { skip }, async t => {
    const { root } = await confined(t)
    const { index } = await applyHere(
      tarOf(
        file('f', 'first'),
        hardlink('keeps', 'f'),
        file('f', 'second'),
        dir('d', { mode: 0o700 }),
        file('d/x', 'stays'),
        dir('d', { mode: 0o750 }),
        file('t/deep/x'),
        file('t', 'now a file'),
        symlink('l', 'd'),
        dir('l', { mode: 0o711 }),
      ),
      root,
      { dialect },
    )
    assert.equal(await readFile(join(root, 'f'), 'utf8'), 'second')
    assert.equal(await readFile(join(root, 'keeps'), 'utf8'), 'first')
    assert.equal(await readFile(join(root, 't'), 'utf8'), 'now a file')
    assert.equal((await stat(join(root, 'd'))).mode & 0o7777, 0o750)
    assert.equal((await lstat(join(root, 'l'))).isDirectory(), true)
    const keeps = index.get('keeps')
    assert.equal(keeps !== undefined && 'linkOf' in keeps, false)
    assert.deepEqual(
      [...index.entries()].map(entry => entry.path),
      ['', 'd', 'd/x', 'f', 'keeps', 'l', 't'],
    )
    assert.equal(index.contentBytes, 'second'.length + 'first'.length + 'stays'.length + 'now a file'.length)
  })

  test(
    `applyLayer() (${dialect}) keeps nanoseconds, times before 1970, and the times of directories that get children later`,
    { skip },
    async t => {
      const { root } = await confined(t)
      const modifiedAt = { seconds: -5, nanoseconds: 123_456_789 }
      await apply(
        root,
        dir('d', { modifiedAt }),
        file('d/x', '', { modifiedAt }),
        symlink('d/s', 'x', { modifiedAt }),
        dir('d/e', { modifiedAt }),
        file('d/e/y'),
      )
      const picture = await pictureOfDirectory(root)
      for (const path of ['d', 'd/x', 'd/s', 'd/e']) assert.match(picture[path]!, / -5\.123456789 /, path)
    },
  )

  test(`applyLayer() (${dialect}) writes sparse files with their holes`, { skip }, async t => {
    const { root } = await confined(t)
    const source = join(root, '..', 'sparse')
    execFileSync('sh', ['-c', `truncate -s 64M ${source} && printf data | dd of=${source} bs=1 seek=33554432 conv=notrunc status=none`])
    for (const format of ['gnu', 'posix']) {
      const tar = execFileSync('tar', ['--sparse', `--format=${format}`, '-C', join(root, '..'), '-cf', '-', 'sparse'])
      const { index } = await applyHere(tar, root, { dialect, chunkBytes: 700 })
      const made = await stat(join(root, 'sparse'))
      assert.equal(made.size, 64 * 1024 * 1024)
      assert.ok(made.blocks * 512 < 1024 * 1024, `${made.blocks} blocks`)
      assert.equal(index.contentBytes, 64 * 1024 * 1024)
      execFileSync('cmp', [source, join(root, 'sparse')])
      await rm(join(root, 'sparse'))
    }
  })
}

test('hostile #3: applyLayer() stays inside while another process swaps directories for symlinks', { skip }, async t => {
  const { root, outside, unharmed } = await confined(t)
  const members = Array.from({ length: 400 }, (_, i) => file(`d/sub${i % 7}/f${i}`, 'x'.repeat(100)))
  const tar = tarOf(...members)
  const racing = new AbortController()
  const race = (async (): Promise<void> => {
    while (!racing.signal.aborted) {
      for (const name of ['d', 'd/sub3']) {
        await rename(join(root, name), join(root, 'aside')).catch(() => undefined)
        await makeSymlink(outside, join(root, name)).catch(() => undefined)
        await rm(join(root, name), { recursive: true, force: true }).catch(() => undefined)
        await rename(join(root, 'aside'), join(root, name)).catch(() => undefined)
      }
    }
  })()
  try {
    for (let i = 0; i < 15; i += 1) {
      const indexPath = join(root, '..', `index${i}`)
      await applyLayer({ bytes: streamOf(tar), indexPath }, root, { dialect: 'remove' }).catch((error: unknown) => {
        assert.ok(error instanceof Error && 'code' in error && String(error.code).startsWith('STRATA_'), String(error))
      })
      assert.deepEqual(await readdir(outside), ['victim'])
    }
  } finally {
    racing.abort()
    await race
  }
  await unharmed()
})

test('hostile #20, #21: applyLayer() has limits for entries, implied ones included, and for logical sizes', { skip }, async t => {
  const { root } = await confined(t)
  const limits = { entries: 50, fileBytes: 1000 }
  const many = tarOf(...Array.from({ length: 60 }, (_, i) => file(`f${i}`)))
  const deep = tarOf(file(`${'d/'.repeat(60)}f`))
  await assert.rejects(applyHere(many, root, { limits }), { kind: 'resourceExhausted' })
  await assert.rejects(applyHere(deep, undefined, { limits }), { code: 'STRATA_LAYER_LIMIT' })
  await assert.rejects(applyHere(tarOf(file('f', 'x'.repeat(1001))), undefined, { limits }), { kind: 'resourceExhausted' })
  // 8 EiB in one hole.
  const header = encodeTarHeader({ ...file('bomb'), size: 0 })
  const sparse = execFileSync('sh', [
    '-c',
    'cd "$1" && truncate -s 7T bomb && tar --sparse --format=posix -cf - bomb && rm bomb',
    'sh',
    root,
  ])
  assert.ok(header.length > 0 && sparse.length < 100_000)
  await assert.rejects(applyHere(sparse, undefined, { limits }), { kind: 'resourceExhausted' })
})

test('hostile #27: applyLayer() gives its thread back after every kind of failure', { skip }, async t => {
  const { root } = await confined(t)
  const good = tarOf(file('f', 'x'.repeat(300_000)))
  const broken = gzipSync(good).subarray(0, 200)
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield good.subarray(0, 1000)
    throw new Error('the network is gone')
  }
  let runs = 0
  const attempt = async (bytes: AsyncIterable<Uint8Array>, more: object = {}): Promise<unknown> => {
    runs += 1
    const directory = await makeDirectory(root, `run${runs}`)
    return applyLayer({ bytes, indexPath: join(root, `index${runs}`), ...more }, directory, { dialect: 'overlay' })
  }
  const failures = Array.from({ length: 4 }, () => [
    assert.rejects(attempt(streamOf(broken)), { kind: 'dataLoss' }),
    assert.rejects(attempt(streamOf(good.subarray(0, 2000))), { kind: 'dataLoss' }),
    assert.rejects(attempt(failing()), /the network is gone/),
    assert.rejects(attempt(streamOf(good), { diffId: `sha256:${'0'.repeat(64)}` }), { code: 'STRATA_DIFF_ID_MISMATCH' }),
    assert.rejects(attempt(streamOf(good), { signal: AbortSignal.abort(new Error('stop')) }), /stop/),
  ]).flat()
  await Promise.all(failures)
  await attempt(streamOf(good))
})

test('hostile #28: applyLayer() inflates in this process whatever programs the layer has', { skip }, async t => {
  const { root } = await confined(t)
  const evil = file('usr/bin/unpigz', '#!/bin/sh\ntouch /tmp/strata-owned\n', { mode: 0o755 })
  const path = process.env['PATH']
  process.env['PATH'] = join(root, 'usr/bin')
  try {
    await applyLayer({ bytes: streamOf(gzipSync(tarOf(evil, file('x', 'after')))), indexPath: join(root, '../index') }, root, {
      dialect: 'overlay',
    })
  } finally {
    process.env['PATH'] = path
  }
  assert.equal(await readFile(join(root, 'x'), 'utf8'), 'after')
  await assert.rejects(stat('/tmp/strata-owned'))
})

test('applyLayer() takes streams and parts of files, plain and compressed, with the same result', { skip }, async t => {
  const { root } = await confined(t)
  const tar = tarOf(dir('d'), ...Array.from({ length: 300 }, (_, i) => file(`d/${i}`, Buffer.alloc(10_000, i))))
  const packed = gzipSync(tar)
  await writeFile(join(root, 'archive'), Buffer.concat([Buffer.from('before'), packed, Buffer.from('after it')]))
  await writeFile(join(root, 'plain'), tar)
  const range = { path: join(root, 'archive'), start: 6, end: 6 + packed.length }
  const pictures: unknown[] = []
  const ids = new Set<string>()
  for (const [i, bytes] of [fileStream(join(root, 'plain')), streamOf(packed), range, { path: join(root, 'plain') }].entries()) {
    const directory = await makeDirectory(root, `tree${i}`)
    const indexPath = join(root, `index${i}`)
    const applied = await applyLayer({ bytes, indexPath, headersPath: join(root, `headers${i}`) }, directory, { dialect: 'overlay' })
    ids.add(applied.diffId)
    assert.equal(applied.tarBytes, tar.length)
    assert.equal(applied.contentBytes, 3_000_000)
    assert.equal(decodeLayerIndex(await readFile(indexPath)).diffId, applied.diffId)
    pictures.push(await pictureOfDirectory(directory, { rootTime: false }))
  }
  for (const picture of pictures) assert.deepEqual(picture, pictures[0])
  const indexed = await indexLayer({ bytes: streamOf(packed), indexPath: join(root, 'only') })
  ids.add(indexed.diffId)
  assert.equal(ids.size, 1)
  assert.deepEqual(await readFile(join(root, 'only')), await readFile(join(root, 'index0')))
})

test('applyLayer() reads a source no faster than the thread takes it', { skip }, async t => {
  const { root } = await confined(t)
  const zeros = Buffer.alloc(1024 * 1024)
  let given = 0
  async function* large(): AsyncGenerator<Uint8Array> {
    yield encodeTarHeader({ ...file('big'), size: 64 * zeros.length })
    for (; given < 64; given += 1) {
      yield zeros
      // Without back-pressure all chunks would be out before the first one is written.
      if (given === 60) assert.ok((await readdir(root)).includes('big'))
    }
    yield TAR_END
  }
  await applyLayer({ bytes: large(), indexPath: join(root, '../index') }, root, { dialect: 'overlay' })
  assert.equal((await stat(join(root, 'big'))).size, 64 * zeros.length)
})

test('hostile #31: applyLayer() (remove) changes nothing below a symlink of the layers below', { skip }, async t => {
  const { root, outside, unharmed } = await confined(t)
  await makeSymlink(outside, join(root, 'etc'))
  await mkdir(join(root, 'lib'))
  await writeFile(join(root, 'lib/old'), 'x')
  await applyHere(tarOf(whiteout('etc/victim'), opaque('lib'), file('lib/new')), root, { dialect: 'remove' })
  assert.deepEqual(await readdir(join(root, 'lib')), ['new'])
  assert.equal((await lstat(join(root, 'etc'))).isDirectory(), true)
  await unharmed()
})
