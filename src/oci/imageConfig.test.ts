import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { isStrataError } from '../base/index.ts'
import { LIMITS, parseImageConfig } from './index.ts'

const json = (value: unknown): Uint8Array => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
const INVALID = { code: 'STRATA_IMAGE_CONFIG_INVALID', kind: 'invalidArgument' }
const DIFF_ID = 'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
const SMALLEST = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [DIFF_ID] } }

/** The example of image-spec config.md#example in shape, with Docker's own fields. */
const WHOLE = {
  created: '2015-10-31T22:22:56.015925234Z',
  author: 'Ada <ada@example.com>',
  architecture: 'arm64',
  variant: 'v8',
  os: 'linux',
  'os.version': '1',
  'os.features': ['f'],
  docker_version: '20.10',
  container_config: { Hostname: 'x' },
  config: {
    Hostname: '',
    User: 'alice:staff',
    ExposedPorts: { '8080/tcp': {}, '53/udp': {} },
    Env: ['PATH=/bin', 'EMPTY=', '=x'],
    Entrypoint: ['/bin/app'],
    Cmd: ['--port', '8080'],
    Volumes: { '/data': {} },
    WorkingDir: '/home/alice',
    Labels: { 'com.example': 'Zürich' },
    StopSignal: 'SIGKILL',
    ArgsEscaped: true,
    Healthcheck: { Test: ['CMD', 'true'], Interval: 30_000_000_000, Timeout: 1, StartPeriod: 0, StartInterval: 5, Retries: 3 },
    Shell: ['/bin/sh', '-c'],
    OnBuild: ['RUN x'],
  },
  rootfs: { type: 'layers', diff_ids: [DIFF_ID, DIFF_ID] },
  history: [
    { created: '2015-10-31T22:22:54+02:00', created_by: 'ADD file', author: 'Ada', comment: 'c' },
    { created_by: 'CMD', empty_layer: true, 'x-new': 1 },
  ],
  'moby.buildkit.buildinfo.v1': 'e30=',
}

test('parseImageConfig() keeps everything, in order, so that a rewrite loses nothing', () => {
  assert.equal(JSON.stringify(parseImageConfig(json(WHOLE))), JSON.stringify(WHOLE))
  assert.deepEqual(parseImageConfig(json(SMALLEST)), SMALLEST)
})

test('parseImageConfig() leaves out what is null', () => {
  const nulls = {
    Cmd: null,
    Entrypoint: null,
    Volumes: null,
    Labels: null,
    Env: null,
    ExposedPorts: null,
    Healthcheck: null,
    OnBuild: null,
  }
  const config = parseImageConfig(json({ ...SMALLEST, config: { ...nulls, User: '' }, history: null, created: null }))
  assert.deepEqual(config, { ...SMALLEST, config: { User: '' } })
  assert.deepEqual(parseImageConfig(json({ ...SMALLEST, config: null })), SMALLEST)
  for (const rootfs of [{ type: 'layers', diff_ids: null }, { type: 'layers' }]) {
    assert.deepEqual(parseImageConfig(json({ ...SMALLEST, rootfs })).rootfs.diff_ids, [])
  }
})

test('parseImageConfig() reads a command that an old Docker wrote as one string', () => {
  assert.deepEqual(parseImageConfig(json({ ...SMALLEST, config: { Cmd: 'sh', Entrypoint: '/init' } })).config, {
    Cmd: ['sh'],
    Entrypoint: ['/init'],
  })
})

test('hostile #60: what is no image config gets a typed error', () => {
  const inConfig = (config: unknown): unknown => ({ ...SMALLEST, config })
  const bad: unknown[] = [
    '',
    '{}',
    '[]',
    'null',
    { ...SMALLEST, os: undefined },
    { ...SMALLEST, architecture: 5 },
    { ...SMALLEST, rootfs: undefined },
    { ...SMALLEST, rootfs: { type: 'layers+base', diff_ids: [] } },
    { ...SMALLEST, created: 'yesterday' },
    { ...SMALLEST, created: '' },
    { ...SMALLEST, created: '2015-13-41T22:22:56Z' },
    { ...SMALLEST, created: 0 },
    { ...SMALLEST, history: {} },
    { ...SMALLEST, history: ['x'] },
    { ...SMALLEST, history: [{ empty_layer: 'yes' }] },
    inConfig([]),
    inConfig({ Env: 5 }),
    inConfig({ Env: 'A=B' }),
    inConfig({ Env: [5] }),
    inConfig({ Env: ['A=\0B'] }),
    inConfig({ Cmd: ['a\0b'] }),
    inConfig({ Entrypoint: 'a\0b' }),
    inConfig({ User: 'root\0' }),
    inConfig({ WorkingDir: '/\0' }),
    inConfig({ Labels: { a: 1 } }),
    inConfig({ Volumes: ['/x'] }),
    inConfig({ ExposedPorts: { '80/tcp': 1 } }),
    inConfig({ Healthcheck: { Interval: '30s' } }),
    inConfig({ Healthcheck: { Interval: 1.5 } }),
    JSON.stringify(WHOLE).replace('"os":', '"os":"x","os":'),
  ]
  for (const document of bad) assert.throws(() => parseImageConfig(json(document)), INVALID, JSON.stringify(document))
})

test('hostile #54: diff ids are sha256 and nothing else', () => {
  for (const diffId of ['sha256:../../x', '', DIFF_ID.toUpperCase(), `sha1:${'0'.repeat(40)}`, `sha512:${'0'.repeat(128)}`, null]) {
    assert.throws(() => parseImageConfig(json({ ...SMALLEST, rootfs: { type: 'layers', diff_ids: [DIFF_ID, diffId] } })), {
      ...INVALID,
      message: /rootfs\.diff_ids/,
    })
  }
})

test('hostile #55: an image config is bounded', () => {
  assert.throws(() => parseImageConfig(Buffer.alloc(LIMITS.configBytes + 1)), INVALID)
  const diff_ids = Array.from({ length: LIMITS.layers + 1 }, () => DIFF_ID)
  assert.throws(() => parseImageConfig(json({ ...SMALLEST, rootfs: { type: 'layers', diff_ids } })), {
    ...INVALID,
    message: /4097 elements/,
  })
  assert.throws(() => parseImageConfig(json({ ...SMALLEST, history: Array.from({ length: 50_000 }, () => ({})) })), INVALID)
})

test('hostile #60: parseImageConfig() throws nothing but a StrataError and is a fixed point', () => {
  const field = fc.constantFrom(...Object.keys(WHOLE.config))
  const config = fc.dictionary(field, fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom(...Object.values(WHOLE.config))), {
    noNullPrototype: true,
  })
  const document = fc.oneof(
    fc.record({ config, history: fc.jsonValue() }, { requiredKeys: [] }).map(part => json({ ...SMALLEST, ...part })),
    fc.json().map(json),
    fc.uint8Array(),
  )
  let accepted = 0
  fc.assert(
    fc.property(document, bytes => {
      try {
        const parsed = parseImageConfig(bytes)
        accepted++
        assert.deepEqual(parseImageConfig(json(parsed)), parsed)
      } catch (error) {
        assert.ok(isStrataError(error), String(error))
      }
    }),
    { numRuns: 3000 },
  )
  assert.ok(accepted > 30, 'some documents stay valid')
})
