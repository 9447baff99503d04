import assert from 'node:assert/strict'
import { mkdtemp, open, readFile, readlink, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { type ByteStream, readAtMost, streamOf, StrataError } from '../base/index.ts'
import type { ContainerInspect, DiskUsage, Engine } from '../engine/index.ts'
import { strata } from '../../test/cli/strataInTest.ts'

describe('verbs that print', () => {
  test('pull and push take the rate that curl would, in bytes per second', async () => {
    const rates: unknown[] = []
    const pull: Engine['pull'] = async (_, { limitRate } = {}) => (rates.push(limitRate), [])
    const push: Engine['push'] = async (_, { limitRate } = {}) => (rates.push(limitRate), [])
    for (const rate of ['500', '500k', '2M', '1G', '0']) await strata(`pull --limit-rate ${rate} a`, { pull })
    await strata('push --limit-rate 1.5m a', { push })
    await strata('push a', { push })
    assert.deepEqual(rates, [500, 512_000, 2_097_152, 1_073_741_824, undefined, 1_572_864, undefined])
    for (const rate of ['fast', '-1', '5q', '2MB/s', ''])
      assert.match(
        (await strata(['pull', `--limit-rate=${rate}`, 'a'], { pull })).stderr,
        /invalid argument .* expected bytes per second such as 500k, 2M or 1G/,
      )
  })

  test('pull ends with the digest, the status and the whole name; --quiet with the name alone', async () => {
    const image = {
      reference: 'docker.io/library/debian:12',
      name: 'debian:12',
      manifestDigest: 'sha256:d',
      imageId: 'sha256:i',
      newer: true,
    }
    const pull: Engine['pull'] = async (_, { allTags = false, onProgress } = {}) => {
      onProgress?.({ id: '', status: 'Digest: sha256:d' })
      return allTags ? [image, { ...image, newer: false }] : [image]
    }
    const ran = await strata('pull debian:12', { pull })
    assert.equal(ran.stdout, 'Digest: sha256:d\nStatus: Downloaded newer image for debian:12\ndocker.io/library/debian:12\n')
    assert.equal((await strata('pull -q debian:12', { pull })).stdout, 'docker.io/library/debian:12\n')
    const all = await strata('pull -a debian', { pull })
    assert.equal(all.stdout, 'Digest: sha256:d\nStatus: Downloaded newer image for debian\ndocker.io/library/debian\n')
  })
  test('load names what it loaded, from stdin or a file', async () => {
    const sources: unknown[] = []
    const load: Engine['load'] = async source => {
      sources.push(typeof source === 'string' ? source : await textOf(source))
      return [
        { imageId: 'sha256:1', name: 'a:1' },
        { imageId: 'sha256:2', name: undefined },
      ]
    }
    assert.equal((await strata('load', { load }, { stdin: 'TAR' })).stdout, 'Loaded image: a:1\nLoaded image ID: sha256:2\n')
    await strata('image load -i /x.tar', { load })
    assert.deepEqual(sources, ['TAR', '/x.tar'])
  })
  test('import passes on changes, message and reference, and prints the id', async () => {
    const seen: unknown[] = []
    const ran = await strata(['import', '-c', 'CMD ["bash"]', '-m', 'why', 'root.tar', 'a:1'], {
      import: async (source, options) => {
        seen.push(source, options?.changes, options?.message, options?.reference)
        return { imageId: 'sha256:1' }
      },
    })
    assert.deepEqual([ran.stdout, seen], ['sha256:1\n', ['root.tar', ['CMD ["bash"]'], 'why', 'a:1']])
  })
  test('commit pauses by default, and not with --pause=false', async () => {
    const pauses: unknown[] = []
    const commit: Engine['commit'] = async (_, options) => {
      pauses.push(options?.pause)
      return { imageId: 'sha256:1' }
    }
    for (const line of ['commit c1', 'commit -p c1 a:1', 'commit --pause=false c1']) await strata(line, { commit })
    assert.deepEqual(pauses, [true, true, false])
  })
  test('diff prints A, C and D', async () => {
    const diff: Engine['diff'] = async () => [
      { kind: 'modify', path: '/etc' },
      { kind: 'add', path: '/etc/x' },
      { kind: 'delete', path: '/etc/y' },
    ]
    assert.equal((await strata('diff c1', { diff })).stdout, 'C /etc\nA /etc/x\nD /etc/y\n')
  })
  test('rmi prints what went', async () => {
    const removeImage: Engine['removeImage'] = async () => [
      { kind: 'untagged', name: 'a:1' },
      { kind: 'deleted', id: 'sha256:1' },
    ]
    assert.equal((await strata('rmi a:1', { removeImage })).stdout, 'Untagged: a:1\nDeleted: sha256:1\n')
  })
  test('logs keeps the streams apart, and stamps each line once with -t', async () => {
    const entry = (stream: 'stdout' | 'stderr', text: string): { stream: 'stdout' | 'stderr'; timestamp: string; bytes: Buffer } => ({
      stream,
      timestamp: '2026-01-01T00:00:00.000000001Z',
      bytes: Buffer.from(text),
    })
    const logs: Engine['logs'] = () => inOrder([entry('stdout', 'par'), entry('stderr', 'err\n'), entry('stdout', 'tial\nnext\n')])
    const plain = await strata('logs c1', { logs })
    assert.deepEqual([plain.stdout, plain.stderr], ['partial\nnext\n', 'err\n'])
    const stamped = await strata('logs -t c1', { logs })
    const at = '2026-01-01T00:00:00.000000001Z'
    assert.deepEqual([stamped.stdout, stamped.stderr], [`${at} partial\n${at} next\n`, `${at} err\n`])
  })
  test('logs reads --since, --until and --tail', async () => {
    const seen: unknown[] = []
    const logs: Engine['logs'] = (_, options) => {
      seen.push(options?.since?.toISOString(), options?.until?.toISOString(), options?.tail, options?.follow)
      return inOrder([])
    }
    await strata('logs --since 10m --until 2026-01-01T00:00:00Z -n 5 -f c1', { logs })
    await strata('logs --tail all c1', { logs })
    assert.deepEqual(seen, ['2026-03-01T11:50:00.000Z', '2026-01-01T00:00:00.000Z', 5, true, undefined, undefined, undefined, false])
    assert.match((await strata('logs --tail x c1', { logs })).stderr, /Cannot use --tail "x"/)
  })
  test('top lays processes out with twenty columns', async () => {
    const top: Engine['top'] = async (_, args) => ({ titles: ['UID', 'CMD'], processes: [['root', (args ?? ['default']).join(' ')]] })
    assert.equal((await strata('top c1 -o pid', { top })).stdout, 'UID                 CMD\nroot                -o pid\n')
    assert.match((await strata('top c1', { top })).stdout, /default/)
  })
  test('port lists published ports, or one of them', async () => {
    const inspectContainer = async (): Promise<ContainerInspect> =>
      ({
        NetworkSettings: {
          Ports: {
            '80/tcp': [
              { HostIp: '0.0.0.0', HostPort: '8080' },
              { HostIp: '::', HostPort: '8080' },
            ],
            '81/tcp': null,
          },
        },
      }) as unknown as ContainerInspect
    assert.equal((await strata('port c1', { inspectContainer })).stdout, '80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n')
    assert.equal((await strata('port c1 80', { inspectContainer })).stdout, '0.0.0.0:8080\n[::]:8080\n')
    assert.equal((await strata('port c1 81', { inspectContainer })).status, 1)
  })
  test('cp tells the engine which side is which, and streams tars through -', async () => {
    const seen: unknown[] = []
    const methods: Partial<Engine> = {
      copyToHost: async (...args) => (seen.push(['out', ...args.slice(0, 3)]), { bytes: 2048 }),
      copyFromHost: async (...args) => (seen.push(['in', ...args.slice(0, 3)]), { bytes: 5 }),
      copyFrom: async (...args) => (
        seen.push(['tar out', ...args.slice(0, 2)]),
        { stat: undefined as never, tar: streamOf(Buffer.from('TAR')) }
      ),
      copyTo: async (container, path, tar) => (seen.push(['tar in', container, path, await textOf(tar)]), { bytes: 3 }),
    }
    const out = await strata('cp -a c1:/etc/hosts .', methods)
    assert.equal(out.stderr, 'Successfully copied 2.05kB to .\n')
    assert.equal((await strata('cp -q ./a:b c1:/srv', methods)).stderr, '')
    assert.equal((await strata('cp c1:/etc -', methods)).stdout, 'TAR')
    await strata('cp - c1:/srv', methods, { stdin: 'IN' })
    assert.deepEqual(seen, [
      ['out', 'c1', '/etc/hosts', '.'],
      ['in', './a:b', 'c1', '/srv'],
      ['tar out', 'c1', '/etc'],
      ['tar in', 'c1', '/srv', 'IN'],
    ])
  })
  test('save writes to stdout, or a file that appears whole', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'strata-save-'))
    try {
      const save: Engine['save'] = async () => streamOf(Buffer.from('AB'), Buffer.from('CD'))
      assert.equal((await strata('save a b', { save })).stdout, 'ABCD')
      const path = join(directory, 'app.tar')
      assert.equal((await strata(`save -o ${path} a`, { save })).status, 0)
      assert.equal(await readFile(path, 'utf8'), 'ABCD')
      const failing: Engine['save'] = async () => {
        throw new StrataError('notFound', 'STRATA_NO_SUCH_IMAGE', 'Cannot save "x": it does not exist')
      }
      assert.equal((await strata(`save -o ${join(directory, 'none.tar')} x`, { save: failing })).status, 1)
      await assert.rejects(readFile(join(directory, 'none.tar')), { code: 'ENOENT' })
      assert.equal((await strata('save -o /dev/null a', { save })).status, 0)
      const link = join(directory, 'link.tar')
      await symlink('app.tar', link)
      const other: Engine['save'] = async () => streamOf(Buffer.from('other'))
      assert.equal((await strata(`save -o ${link} a`, { save: other })).status, 0)
      assert.equal(await readlink(link), 'app.tar')
      assert.equal(await readFile(path, 'utf8'), 'other')
      // What stands for an open file is no place to rename to.
      const handle = await open(join(directory, 'open.tar'), 'w')
      assert.equal((await strata(`save -o /proc/self/fd/${handle.fd} a`, { save })).status, 0)
      await handle.close()
      assert.equal(await readFile(join(directory, 'open.tar'), 'utf8'), 'ABCD')
      assert.match((await strata(`save -o ${directory} a`, { save })).stderr, /it is a directory/)
    } finally {
      await rm(directory, { recursive: true })
    }
  })
  test('save tells the engine what form the archive shall have; old spellings are taken', async () => {
    const seen: unknown[] = []
    const save: Engine['save'] = async (images, { signal: _signal, onProgress, ...options } = {}) => {
      onProgress?.({ id: '', status: 'A note' })
      seen.push([images, options])
      return streamOf()
    }
    const ran = await strata('save a', { save })
    assert.deepEqual([ran.stdout, ran.stderr], ['', 'WARNING: A note\n'])
    await strata('save --format oci-archive --compression zstd --platform linux/amd64 --platform arm64 --since base:1 a b', { save })
    await strata('save --format docker a', { save })
    assert.deepEqual(seen, [
      [['a'], { platforms: [] }],
      [['a', 'b'], { platforms: ['linux/amd64', 'arm64'], compression: 'zstd', format: 'oci-archive', since: 'base:1' }],
      [['a'], { platforms: [], format: 'docker' }],
    ])
    assert.equal((await strata('save --format tar a', { save })).status, 125)
    assert.equal((await strata('save --compression xz a', { save })).status, 125)
  })
  test('copy prints the digest, tells what it does on stderr, and passes on what is wanted', async () => {
    const seen: unknown[] = []
    const copy: Engine['copy'] = async (source, destination, { signal: _signal, onProgress, ...options } = {}) => {
      onProgress?.({ id: 'Copying blob 0123456789ab', status: 'done' })
      seen.push([source, destination, options])
      return { manifestDigest: 'sha256:abc' }
    }
    const ran = await strata('copy docker://a dir:b', { copy })
    assert.deepEqual([ran.status, ran.stdout, ran.stderr], [0, 'sha256:abc\n', 'Copying blob 0123456789ab: done\n'])
    assert.equal((await strata('copy -q -a --preserve-digests --limit-rate 2M oci:a:b strata:c', { copy })).stderr, '')
    await strata('image copy --platform linux/arm64 --platform amd64 dir:a dir:b', { copy })
    assert.deepEqual(seen, [
      ['docker://a', 'dir:b', { platforms: [], preserveDigests: false }],
      ['oci:a:b', 'strata:c', { platforms: 'all', preserveDigests: true, limitRate: 2 * 1024 * 1024 }],
      ['dir:a', 'dir:b', { platforms: ['linux/arm64', 'amd64'], preserveDigests: false }],
    ])
    seen.length = 0
    assert.equal((await strata('copy -q docker://a oci-archive:/dev/stdout:x', { copy })).stdout, '')
    assert.equal((await strata('copy docker://a', { copy })).status, 1)
    assert.match((await strata('copy --help')).stdout, /docker-archive:PATH\[:REF\|:@INDEX\]/)
  })
  test('prune asks first, and takes only y for yes', async () => {
    let calls = 0
    const pruneContainers: Engine['pruneContainers'] = async () => {
      calls += 1
      return { removed: ['c1'], reclaimedBytes: 212 }
    }
    const no = await strata('container prune', { pruneContainers }, { stdin: 'n\n' })
    assert.equal(no.stdout, 'WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] ')
    assert.equal(calls, 0)
    const yes = await strata('container prune', { pruneContainers }, { stdin: 'y\n' })
    assert.match(yes.stdout, /Deleted Containers:\nc1\n\nTotal reclaimed space: 212B\n$/)
    assert.equal(
      (await strata('container prune -f', { pruneContainers })).stdout,
      'Deleted Containers:\nc1\n\nTotal reclaimed space: 212B\n',
    )
    assert.equal(calls, 2)
  })
  test('system df sums up what is used and what could be reclaimed, and what a cache has', async () => {
    const image = { parentId: '', tags: [], digests: [], createdAt: new Date(0), isPart: false, labels: {} }
    const usage: DiskUsage = {
      images: [
        { ...image, id: 'sha256:1', sizeBytes: 100_000_000, sharedBytes: 0, containers: 1 },
        { ...image, id: 'sha256:2', sizeBytes: 50_000_000, sharedBytes: 0, containers: 0 },
      ],
      layersBytes: 150_000_000,
      interruptedBytes: 10_000_000,
      containers: [],
      volumes: [
        {
          CreatedAt: '',
          Driver: 'local',
          Labels: null,
          Mountpoint: '',
          Name: 'v',
          Options: null,
          Scope: 'local',
          UsageData: { Size: 36, RefCount: 0 },
        },
      ],
      cache: { names: [], bytes: 0, reclaimableBytes: 0 },
    }
    const shown = async (line: string, cache: DiskUsage['cache']): Promise<string> =>
      (await strata(line, { diskUsage: async () => ({ ...usage, cache }) })).stdout
    const lines = [
      'TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE',
      'Images          2         1         160MB     60MB (37%)',
      'Containers      0         0         0B        0B',
      'Local Volumes   1         0         36B       36B (100%)',
      'Build Cache     0         0         0B        0B',
      '',
    ]
    assert.equal(await shown('system df', usage.cache), lines.join('\n'))
    const cache = { names: [{ name: '127.0.0.1:5000/a:1', digest: 'sha256:1', sizeBytes: 2000 }], bytes: 2000, reclaimableBytes: 500 }
    const withCache = lines.toSpliced(-1, 0, 'Registry Cache  1         0         2kB       500B (25%)').join('\n')
    assert.equal((await shown('system df', cache)).replaceAll(/ +/g, ' '), withCache.replaceAll(/ +/g, ' '))
    assert.match(await shown('system df -v', cache), /Registry cache space usage:\n\nNAME +SIZE\n127\.0\.0\.1:5000\/a:1 +2kB\n$/)
  })
  test('container cleanup is there for conmon, and not in help', async () => {
    const cleaned: string[] = []
    assert.equal((await strata('--root /r container cleanup abc', { cleanUpContainer: async id => void cleaned.push(id) })).status, 0)
    assert.deepEqual(cleaned, ['abc'])
    assert.doesNotMatch((await strata('container --help')).stdout, /cleanup/)
  })
})

/** The values one after the other, as a stream of them. */
async function* inOrder<T>(values: readonly T[]): AsyncGenerator<T> {
  yield* values
}

const textOf = async (bytes: ByteStream): Promise<string> => (await readAtMost(bytes, 1000)).toString()
