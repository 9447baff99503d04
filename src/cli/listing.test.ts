import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { strata } from '../../test/cli/strataInTest.ts'
import type { ContainerSummary, HistoryEntry, ImageSummary } from '../engine/index.ts'
import { containerListing, formatStatus } from './containerListing.ts'
import { historyListing, imageListing, imageRows } from './imageListing.ts'
import { formatListing } from './listing.ts'

const NOW = new Date('2026-03-01T12:00:00Z')
const HOW = { now: NOW, whole: false }
const ago = (seconds: number): Date => new Date(NOW.getTime() - seconds * 1000)
const DAY = 86_400

const digest = (digit: string): string => `sha256:${digit.repeat(64)}`

const DEBIAN: ImageSummary = {
  id: digest('a'),
  parentId: '',
  tags: ['debian:12', 'localhost:5000/team/debian:bookworm'],
  digests: [`debian@${digest('d')}`],
  createdAt: ago(15 * DAY),
  sizeBytes: 116_500_000,
  isPart: false,
  labels: { 'com.example.role': 'base' },
}
const DANGLING: ImageSummary = { ...DEBIAN, id: digest('b'), tags: [], digests: [], createdAt: ago(90), sizeBytes: 0, labels: {} }

describe('images', () => {
  const rows = (digests = false): ReturnType<typeof imageRows> => [DEBIAN, DANGLING].flatMap(image => imageRows(image, digests))

  test('has a line for each name, and <none> for none', async () => {
    assert.equal(
      await formatListing(imageListing(HOW, false), rows(), {}),
      [
        'REPOSITORY                   TAG        IMAGE ID       CREATED              SIZE',
        'debian                       12         aaaaaaaaaaaa   2 weeks ago          117MB',
        'localhost:5000/team/debian   bookworm   aaaaaaaaaaaa   2 weeks ago          117MB',
        '<none>                       <none>     bbbbbbbbbbbb   About a minute ago   0B',
        '',
      ].join('\n'),
    )
  })
  test('shows the digest of the repository with --digests', async () => {
    const lines = (await formatListing(imageListing(HOW, true), rows(true), { format: '{{.Repository}} {{.Digest}}' })).split('\n')
    assert.deepEqual(lines, [`debian ${digest('d')}`, 'localhost:5000/team/debian <none>', '<none> <none>', ''])
  })
  test('has a line for a repository that is known by digest alone', () => {
    const [row] = imageRows({ ...DEBIAN, tags: [] }, false)
    assert.deepEqual([row?.repository, row?.tag, row?.digest], ['debian', '<none>', digest('d')])
  })
  test('takes templates, tables of templates and json', async () => {
    const listing = imageListing({ now: NOW, whole: true }, false)
    const one = rows().slice(0, 1)
    assert.equal(await formatListing(listing, one, { format: '{{.ID}}' }), `${digest('a')}\n`)
    assert.equal(await formatListing(listing, one, { format: String.raw`table {{.Tag}}\t{{.Size}}` }), 'TAG       SIZE\n12        117MB\n')
    assert.equal(await formatListing(listing, one, { format: String.raw`{{.Tag}}\t{{.Size}}` }), '12\t117MB\n')
    assert.equal(await formatListing(listing, one, { format: '{{.Label "com.example.role"}}|{{.Label "none"}}' }), 'base|\n')
    assert.equal(await formatListing(listing, one, { format: 'table {{.Label "com.example.role"}}' }), 'role\nbase\n')
    const parsed = JSON.parse(await formatListing(listing, one, { format: 'json' })) as Record<string, string>
    assert.deepEqual([parsed['Repository'], parsed['Size'], parsed['CreatedSince']], ['debian', '117MB', '2 weeks ago'])
    assert.deepEqual(Object.keys(parsed), Object.keys(parsed).sort())
  })
  test('prints ids alone when quiet, unless a template asks for more', async () => {
    assert.equal(await formatListing(imageListing(HOW, false), rows().slice(0, 1), { quiet: true }), 'aaaaaaaaaaaa\n')
    assert.equal(await formatListing(imageListing(HOW, false), rows().slice(0, 1), { quiet: true, format: '{{.Tag}}' }), '12\n')
  })
  test('prints the header alone when there is nothing', async () => {
    assert.equal(await formatListing(imageListing(HOW, false), [], {}), 'REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n')
    assert.equal(await formatListing(imageListing(HOW, false), [], { format: '{{.ID}}' }), '')
  })
  test('refuses a field that is not there', async () => {
    await assert.rejects(formatListing(imageListing(HOW, false), rows(), { format: '{{.Name}}' }), { code: 'STRATA_INVALID_FORMAT' })
  })
})

const WEB: ContainerSummary = {
  id: 'c'.repeat(64),
  name: 'web',
  image: 'nginx:1',
  imageId: digest('e'),
  command: '/docker-entrypoint.sh nginx -g "daemon off;"',
  createdAt: ago(3 * 3600),
  status: 'running',
  exitCode: 0,
  startedAt: ago(3),
  finishedAt: undefined,
  health: undefined,
  ports: [{ hostAddress: '0.0.0.0', hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
  labels: { b: '2', a: '1' },
  mounts: [
    { Type: 'volume', Name: 'data', Source: '/x', Destination: '/d', Mode: 'z', RW: true, Propagation: '' },
    { Type: 'bind', Source: '/a/very/long/path/here', Destination: '/e', Mode: '', RW: true, Propagation: 'rprivate' },
  ],
  networks: ['bridge'],
  platform: 'linux',
  layerBytes: 1095,
  rootfsBytes: 187_000_000,
}

describe('ps', () => {
  test('lays its columns out as docker does', async () => {
    assert.equal(
      await formatListing(containerListing(HOW, true), [WEB], {}),
      [
        'CONTAINER ID   IMAGE     COMMAND                  CREATED       STATUS         PORTS                  NAMES     SIZE',
        'cccccccccccc   nginx:1   "/docker-entrypoint.…"   3 hours ago   Up 3 seconds   0.0.0.0:8080->80/tcp   web       1.09kB (virtual 187MB)',
        '',
      ].join('\n'),
    )
  })
  test('shows everything whole with --no-trunc', async () => {
    const format = '{{.ID}} {{.Command}} {{.Mounts}} {{.Labels}} {{.LocalVolumes}} {{.Networks}} {{.State}}'
    assert.equal(
      await formatListing(containerListing({ now: NOW, whole: true }, false), [WEB], { format }),
      `${'c'.repeat(64)} ${JSON.stringify(WEB.command)} data,/a/very/long/path/here a=1,b=2 1 bridge running\n`,
    )
    assert.equal(await formatListing(containerListing(HOW, false), [WEB], { format: '{{.Mounts}}' }), 'data,/a/very/long/p…\n')
  })
  test('says the state as docker does', () => {
    const cases: readonly (readonly [Partial<ContainerSummary>, string])[] = [
      [{}, 'Up 3 seconds'],
      [{ health: 'starting' }, 'Up 3 seconds (health: starting)'],
      [{ health: 'healthy' }, 'Up 3 seconds (healthy)'],
      [{ status: 'paused' }, 'Up 3 seconds (Paused)'],
      [{ status: 'created' }, 'Created'],
      [{ status: 'exited', exitCode: 137, finishedAt: ago(130) }, 'Exited (137) 2 minutes ago'],
      [{ status: 'restarting', exitCode: 1, finishedAt: ago(5) }, 'Restarting (1) 5 seconds ago'],
      [{ status: 'removing' }, 'Removal In Progress'],
      [{ status: 'dead' }, 'Dead'],
    ]
    for (const [changed, text] of cases) assert.equal(formatStatus({ ...WEB, ...changed }, NOW), text)
  })
})

test('history shortens commands, says <missing>, and can speak to programs', async () => {
  const entries: readonly HistoryEntry[] = [
    {
      imageId: digest('f'),
      createdAt: ago(60),
      createdBy: '/bin/sh -c echo\thello && true && true && true && true',
      comment: 'c',
      sizeBytes: 12_345,
      tags: ['a:1'],
    },
    { imageId: undefined, createdAt: undefined, createdBy: 'CMD ["bash"]', comment: '', sizeBytes: 0, tags: [] },
  ]
  assert.equal(
    await formatListing(historyListing(HOW, true), entries, {}),
    [
      'IMAGE          CREATED              CREATED BY                                      SIZE      COMMENT',
      'ffffffffffff   About a minute ago   /bin/sh -c echo hello && true && true && tru…   12.3kB    c',
      '<missing>      N/A                  CMD ["bash"]                                    0B        ',
      '',
    ].join('\n'),
  )
  assert.equal(await formatListing(historyListing(HOW, false), entries, { format: '{{.Size}}' }), '12345\n0\n')
})

test('cells steer no terminal and have one line there; elsewhere they are as they are', async () => {
  const evil = 'RUN \u001b[31m\u0007\nFAKE \u202ex'
  const history = async (): Promise<readonly HistoryEntry[]> => [
    { imageId: undefined, createdAt: undefined, createdBy: evil, sizeBytes: 0, comment: evil, tags: [] },
  ]
  const run = (line: string, isTerminal: boolean): Promise<string> => strata(line, { history }, { isTerminal }).then(({ stdout }) => stdout)
  const shown = String.raw`RUN \u001b[31m\u0007\u000aFAKE \u202ex`
  for (const line of ['history --no-trunc x', 'history --format {{.Comment}} x']) {
    const visible = await run(line, true)
    assert.ok(visible.includes(shown) && !/[\u001b\u0007\u202e]/.test(visible), visible)
    assert.ok((await run(line, false)).includes(evil))
  }
})
