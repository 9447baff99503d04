import assert from 'node:assert/strict'
import { isIP } from 'node:net'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { hostnameFile, hostsFile, resolvConfFile } from './containerFiles.ts'
import { parseNetworkMode } from './networkMode.ts'

test('hostsFile() writes docker’s lines and the container’s own', () => {
  const text = hostsFile({
    hostname: 'c1',
    address: '10.208.0.2',
    extraHosts: ['db:10.0.0.5', 'host.local:host-gateway'],
    hostGateway: '10.208.0.1',
  })
  assert.equal(
    text,
    [
      '127.0.0.1\tlocalhost',
      '::1\tlocalhost ip6-localhost ip6-loopback',
      'fe00::\tip6-localnet',
      'ff00::\tip6-mcastprefix',
      'ff02::1\tip6-allnodes',
      'ff02::2\tip6-allrouters',
      '10.0.0.5\tdb',
      '10.208.0.1\thost.local',
      '10.208.0.2\tc1',
      '',
    ].join('\n'),
  )
})

test('hostsFile() puts the domain name first, and names nobody without an address', () => {
  assert.match(hostsFile({ hostname: 'c1', domainName: 'example.org', address: '10.0.0.2' }), /\n10\.0\.0\.2\tc1\.example\.org c1\n$/)
  assert.doesNotMatch(hostsFile({ hostname: 'c1' }), /c1/)
})

test('hostsFile() starts with the host’s file where the network is the host’s', () => {
  assert.equal(hostsFile({ hostname: 'h', hostFile: '127.0.1.1 me', extraHosts: ['a=::1'] }), '127.0.1.1 me\n::1\ta\n')
})

test('hostsFile() takes IPv6 addresses of extra hosts, with brackets or without', () => {
  assert.match(hostsFile({ hostname: 'c', extraHosts: ['a:fd00::1', 'b:[fd00::2]'] }), /\nfd00::1\ta\nfd00::2\tb\n$/)
})

test('hostsFile() lets no extra host write a line of its own', () => {
  for (const extra of ['', 'a', 'a:', ':1.2.3.4', 'a:b', 'a:1.2.3.4\n6.6.6.6 b', 'a\n6.6.6.6 b:1.2.3.4', 'a b:1.2.3.4', 'a:host-gateway']) {
    assert.throws(() => hostsFile({ hostname: 'c', extraHosts: [extra] }), { code: 'STRATA_INVALID_EXTRA_HOST' }, extra)
  }
  fc.assert(
    fc.property(fc.string(), extra => {
      try {
        const added = hostsFile({ hostname: 'c', extraHosts: [extra] })
          .split('\n')
          .slice(6, -1)
        assert.equal(added.length, 1)
        assert.notEqual(isIP(added[0]!.split('\t')[0]!), 0)
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'STRATA_INVALID_EXTRA_HOST')
      }
    }),
  )
})

test('hostnameFile() is one line', () => {
  assert.equal(hostnameFile('c1'), 'c1\n')
})

test('resolvConfFile() leaves out the host’s loopback and what IPv4 does not reach', () => {
  const host =
    '# made by hand\nnameserver 127.0.0.1\nnameserver 10.0.0.53\nnameserver ::1\nnameserver fe80::1%eth0\nsearch a.example b.example\noptions ndots:2 edns0\n'
  assert.equal(resolvConfFile(host), 'nameserver 10.0.0.53\nsearch a.example b.example\noptions ndots:2 edns0\n')
})

test('resolvConfFile() takes public name servers when the host has only its own', () => {
  assert.equal(resolvConfFile('nameserver 127.0.0.53\n'), 'nameserver 8.8.8.8\nnameserver 8.8.4.4\n')
  assert.equal(resolvConfFile(''), 'nameserver 8.8.8.8\nnameserver 8.8.4.4\n')
})

test('resolvConfFile() keeps the loopback where the network is the host’s', () => {
  assert.equal(resolvConfFile('nameserver 127.0.0.53\nnameserver ::1\n', { keepLoopback: true }), 'nameserver 127.0.0.53\nnameserver ::1\n')
})

test('resolvConfFile() replaces what is given, and `.` means no search domain', () => {
  const host = 'nameserver 10.0.0.53\nsearch a.example\noptions ndots:2\n'
  assert.equal(
    resolvConfFile(host, { servers: ['127.0.0.1', 'fd00::53'], search: ['.'], options: ['timeout:1'] }),
    'nameserver 127.0.0.1\nnameserver fd00::53\noptions timeout:1\n',
  )
})

test('resolvConfFile() is a fixed point of itself', () => {
  const line = fc.oneof(
    fc.ipV4().map(address => `nameserver ${address}`),
    fc.ipV6().map(address => `nameserver ${address}`),
    fc.constantFrom('search x.example', 'domain y.example', 'options rotate', '; comment', '', 'nameserver', 'garbage in here'),
  )
  fc.assert(
    fc.property(fc.array(line), lines => {
      const once = resolvConfFile(lines.join('\n'))
      assert.equal(resolvConfFile(once), once)
      assert.match(once, /^nameserver (?!127\.)\d/)
    }),
  )
})

test('parseNetworkMode() tells the predefined networks, containers and names apart', () => {
  assert.deepEqual(parseNetworkMode(''), { kind: 'bridge' })
  assert.deepEqual(parseNetworkMode('default'), { kind: 'bridge' })
  assert.deepEqual(parseNetworkMode('host'), { kind: 'host' })
  assert.deepEqual(parseNetworkMode('none'), { kind: 'none' })
  assert.deepEqual(parseNetworkMode('container:c1'), { kind: 'container', container: 'c1' })
  assert.deepEqual(parseNetworkMode('app'), { kind: 'network', name: 'app' })
  assert.throws(() => parseNetworkMode('container:'), { code: 'STRATA_INVALID_NETWORK_MODE' })
})
