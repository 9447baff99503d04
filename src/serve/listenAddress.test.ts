import assert from 'node:assert/strict'
import { hostname, networkInterfaces } from 'node:os'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { formatAddress, isLocalName, isLoopbackAddress, isOwnName, ownNames, parseListenAddress } from './listenAddress.ts'

test('parseListenAddress() reads addresses with ports', () => {
  assert.deepEqual(parseListenAddress('127.0.0.1:5000'), { host: '127.0.0.1', port: 5000 })
  assert.deepEqual(parseListenAddress(':0'), { host: '127.0.0.1', port: 0 })
  assert.deepEqual(parseListenAddress('[::1]:80'), { host: '::1', port: 80 })
  assert.deepEqual(parseListenAddress('0.0.0.0:65535'), { host: '0.0.0.0', port: 65_535 })
})

test('parseListenAddress() refuses names, and what is no address', () => {
  for (const text of [
    '',
    '5000',
    '127.0.0.1',
    'localhost:5000',
    '127.0.0.1:65536',
    '127.0.0.1:-1',
    '::1:5000',
    '[127.0.0.1]:5000',
    '1.2.3:4',
    'a:b',
    '127.0.0.1:5000\n',
  ])
    assert.throws(() => parseListenAddress(text), { code: 'STRATA_LISTEN_ADDRESS_INVALID' }, text)
})

test('formatAddress() gives what parseListenAddress() reads', () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), fc.integer({ min: 0, max: 65_535 }), (host, port) => {
      assert.deepEqual(parseListenAddress(formatAddress({ host, port })), { host, port })
    }),
  )
})

test('isLoopbackAddress() is true for this machine alone', () => {
  for (const host of ['127.0.0.1', '127.1.2.3', '::1']) assert.ok(isLoopbackAddress(host), host)
  for (const host of ['0.0.0.0', '::', '10.0.0.1', '::ffff:10.0.0.1']) assert.ok(!isLoopbackAddress(host), host)
})

test('isLocalName() is false for what a stranger can register', () => {
  for (const host of [
    '127.0.0.1:5000',
    '10.0.0.1',
    '[::1]:5000',

    'localhost',
    'NAS:5000',
    'nas.local:5000',
    'a.internal',
    hostname(),
  ])
    assert.ok(isLocalName(host), host)
  for (const host of [
    '',
    ':5000',
    'evil.example',
    'evil.example:5000',
    'evil.example.',
    'local.evil.example',
    'evillocal.example',
    '127.0.0.1.evil.example',
    '[evil.example]',
    '10.0.0.1:x',
  ])
    assert.ok(!isLocalName(host), host)
})

test('ownNames() are the registries that clients know a server by', () => {
  assert.deepEqual(ownNames({ host: '127.0.0.1', port: 5 }), ['127.0.0.1:5', 'localhost:5', '[::1]:5'])
  assert.deepEqual(ownNames({ host: '0.0.0.0', port: 5 }), ['127.0.0.1:5', 'localhost:5', '[::1]:5'])
  assert.deepEqual(ownNames({ host: '::1', port: 5 }), ['[::1]:5', '127.0.0.1:5', 'localhost:5'])
  assert.deepEqual(ownNames({ host: '10.0.0.1', port: 5 }), ['10.0.0.1:5'])
})

test('isOwnName() knows this machine’s addresses where a server listens on all of them', () => {
  for (const name of ['127.0.0.1:5', 'LOCALHOST:5', '[::1]:5']) assert.ok(isOwnName(name, { host: '127.0.0.1', port: 5 }), name)
  for (const name of ['127.0.0.1:6', 'localhost', 'docker.io', '10.0.0.1:5'])
    assert.ok(!isOwnName(name, { host: '0.0.0.0', port: 5 }), name)
  for (const { address, family } of Object.values(networkInterfaces()).flatMap(each => each ?? [])) {
    const name = family === 'IPv6' ? `[${address}]:5` : `${address}:5`
    assert.ok(isOwnName(name, { host: '0.0.0.0', port: 5 }), name)
  }
})
