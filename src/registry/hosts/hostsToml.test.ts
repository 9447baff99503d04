import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { parse } from 'smol-toml'
import { isStrataError } from '../../base/index.ts'
import { type HostsToml, hostsTomlOf } from './hostsToml.ts'

const read = (text: string): HostsToml => hostsTomlOf(parse(text), '/etc/containerd/certs.d/docker.io/hosts.toml')

test('hostsTomlOf() reads hosts in their order, each with its own settings', () => {
  const { hosts, server } = read(`
    server = "https://registry-1.docker.io"
    [host."https://public-mirror.example.com"]
      capabilities = ["pull"]
      client = "/etc/certs/client.pem"
      dial_timeout = "1m0.5s"
    [host."http://docker-mirror.internal:8080/"]
      capabilities = ["Pull", "resolve"]
      ca = "docker-mirror.crt"
      client = [["a.cert", "a.key"], ["b.pem", ""]]
      skip_verify = true
    [host."https://a.internal"]
      ca = ["/x.pem", "y.pem"]
      client = ["c1.pem", "c2.pem"]
      [host."https://a.internal".header]
        X-Team = ["a", "b"]
        x-one = "1"`)
  assert.equal(server?.base.href, 'https://registry-1.docker.io/v2/')
  assert.deepEqual([...server.capabilities], ['pull', 'resolve', 'push'])
  const directory = '/etc/containerd/certs.d/docker.io'
  assert.deepEqual(
    hosts.map(({ base, capabilities, ...rest }) => ({ base: base.href, capabilities: [...capabilities], ...rest })),
    [
      {
        base: 'https://public-mirror.example.com/v2/',
        capabilities: ['pull'],
        authorities: [],
        clients: [{ certificate: '/etc/certs/client.pem', key: '/etc/certs/client.pem' }],
        skipVerify: false,
        headers: {},
        connectTimeoutMs: 60_500,
      },
      {
        base: 'http://docker-mirror.internal:8080/v2/',
        capabilities: ['pull', 'resolve'],
        authorities: [`${directory}/docker-mirror.crt`],
        clients: [
          { certificate: `${directory}/a.cert`, key: `${directory}/a.key` },
          { certificate: `${directory}/b.pem`, key: `${directory}/b.pem` },
        ],
        skipVerify: true,
        headers: {},
        connectTimeoutMs: undefined,
      },
      {
        base: 'https://a.internal/v2/',
        capabilities: ['pull', 'resolve', 'push'],
        authorities: ['/x.pem', `${directory}/y.pem`],
        clients: ['c1.pem', 'c2.pem'].map(name => ({ certificate: `${directory}/${name}`, key: `${directory}/${name}` })),
        skipVerify: false,
        headers: { 'x-team': 'a, b', 'x-one': '1' },
        connectTimeoutMs: undefined,
      },
    ],
  )
})

test('hostsTomlOf() puts /v2 behind a path that does not have it, unless the file takes care of paths', () => {
  const base = (host: string, more = ''): string | undefined => read(`[host."${host}"]\n${more}`).hosts[0]?.base.href
  assert.equal(base('a.example'), 'https://a.example/v2/')
  assert.equal(base('a.example:5000'), 'https://a.example:5000/v2/')
  assert.equal(base('https://a.example/v2/'), 'https://a.example/v2/')
  assert.equal(base('https://a.example/proxy'), 'https://a.example/proxy/v2/')
  assert.equal(base('https://a.example/v2/proxy', 'override_path = true'), 'https://a.example/v2/proxy/')
  assert.equal(base('https://a.example', 'override_path = true'), 'https://a.example/')
})

test('hostsTomlOf() keeps what the root says for a registry that it does not name', () => {
  const { server, unnamedServer } = read('skip_verify = true\ncapabilities = ["pull"]')
  assert.equal(server, undefined)
  assert.deepEqual([unnamedServer.skipVerify, [...unnamedServer.capabilities]], [true, ['pull']])
})

test('hostsTomlOf() rejects what would be misunderstood', () => {
  for (const text of [
    'server = 1',
    'server = "ftp://x"',
    'server = "https://u:p@x"',
    'host = "x"',
    '[host."https://x"]\ncapabilities = ["pull", "delete"]',
    '[host."https://x"]\ncapabilities = "pull"',
    '[host."https://x"]\nca = 1',
    '[host."https://x"]\nca = [1]',
    '[host."https://x"]\nclient = [["a", "b", "c"]]',
    '[host."https://x"]\nclient = [[1]]',
    '[host."https://x"]\nskip_verify = "true"',
    '[host."https://x"]\ndial_timeout = "soon"',
    '[host."https://x".header]\n"a b" = "x"',
    '[host."https://x".header]\nx = "a\\r\\nauthorization: y"',
    '[host."https://x?y"]',
  ])
    assert.throws(() => read(text), { code: 'STRATA_CONFIG_INVALID' }, text)
})

test('property: whatever a file holds is read or told', () => {
  const names = fc.constantFrom('server', 'host', 'https://x', 'capabilities', 'client', 'ca', 'header', 'dial_timeout', 'skip_verify')
  const { document } = fc.letrec(tie => ({
    document: fc.oneof(
      { depthSize: 'small' },
      fc.boolean(),
      fc.string(),
      fc.constantFrom('pull', 'https://x', '1s'),
      fc.array(tie('document'), { maxLength: 3 }),
      fc.dictionary(names, tie('document'), { maxKeys: 5 }),
    ),
  }))
  fc.assert(
    fc.property(document, value => {
      try {
        hostsTomlOf(value, '/x/hosts.toml')
      } catch (error) {
        assert.ok(isStrataError(error, 'invalidArgument'), String(error))
      }
    }),
    { numRuns: 500 },
  )
})
