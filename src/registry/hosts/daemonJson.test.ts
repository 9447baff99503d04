import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { daemonJsonOf, InsecureRegistries } from './daemonJson.ts'

test('daemonJsonOf() reads mirrors and insecure registries, and leaves the rest of the file alone', () => {
  const { mirrors, insecure } = daemonJsonOf(
    { 'registry-mirrors': ['https://a.example', 'http://b.example:5000/'], 'insecure-registries': ['c.example:5000'], debug: true },
    'daemon.json',
  )
  assert.deepEqual(
    mirrors.map(({ href }) => href),
    ['https://a.example/v2/', 'http://b.example:5000/v2/'],
  )
  assert.equal(insecure.hasHost('C.example:5000'), true)
  assert.equal(insecure.hasHost('c.example'), false)
  assert.equal(insecure.hasNetworks, false)
})

test('daemonJsonOf() rejects what would be misunderstood', () => {
  for (const document of [
    [],
    'x',
    null,
    { 'registry-mirrors': 'https://a.example' },
    { 'registry-mirrors': ['a.example'] },
    { 'registry-mirrors': ['ftp://a.example'] },
    { 'registry-mirrors': ['https://u:p@a.example'] },
    { 'insecure-registries': { a: 1 } },
  ])
    assert.throws(() => daemonJsonOf(document, 'daemon.json'), { code: 'STRATA_CONFIG_INVALID' }, JSON.stringify(document))
})

test('InsecureRegistries knows networks of both versions', () => {
  const registries = new InsecureRegistries(['10.1.0.0/16', 'fd00::/8', '10.9.0.0/99', 'x.example/16'])
  assert.equal(registries.hasNetworks, true)
  for (const address of ['10.1.2.3', 'fd12::1']) assert.equal(registries.hasAddress(address), true, address)
  for (const address of ['10.2.0.1', '10.9.0.1', 'fe80::1', '::ffff', 'x.example'])
    assert.equal(registries.hasAddress(address), false, address)
})

test('property: an address is in a network when their first bits are the same', () => {
  const bits = (address: readonly number[]): string => address.map(byte => byte.toString(2).padStart(8, '0')).join('')
  const address = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255))
  fc.assert(
    fc.property(address, address, fc.nat(32), (network, asked, length) => {
      const registries = new InsecureRegistries([`${network.join('.')}/${length}`])
      assert.equal(registries.hasAddress(asked.join('.')), bits(asked).slice(0, length) === bits(network).slice(0, length))
    }),
  )
})
