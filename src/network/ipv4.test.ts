import assert from 'node:assert/strict'
import { isIPv4 } from 'node:net'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { broadcastOf, contains, formatIpv4, formatSubnet, overlap, parseIpv4, parseSubnet, subnetOf } from './ipv4.ts'

const address = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const subnet = fc.tuple(address, fc.integer({ min: 0, max: 32 })).map(([base, length]) => subnetOf(base, length))

test('parseIpv4() reads what formatIpv4() writes', () => {
  fc.assert(fc.property(address, value => parseIpv4(formatIpv4(value)) === value))
})

test('parseIpv4() accepts what node:net takes for an IPv4 address, and nothing else', () => {
  const text = fc.oneof(
    fc.string(),
    fc.ipV4(),
    fc.ipV6(),
    fc.array(fc.integer({ min: 0, max: 300 }).map(String), { maxLength: 5 }).map(parts => parts.join('.')),
    fc.constantFrom('01.2.3.4', '1.2.3', '1.2.3.4.5', ' 1.2.3.4', '1.2.3.4\n', '0x7f.0.0.1', '256.0.0.1', ''),
  )
  fc.assert(fc.property(text, value => (parseIpv4(value) !== undefined) === isIPv4(value)))
})

test('parseSubnet() reads what formatSubnet() writes', () => {
  fc.assert(fc.property(subnet, value => assert.deepEqual(parseSubnet(formatSubnet(value)), value)))
})

test('parseSubnet() refuses host bits, long prefixes and other text', () => {
  for (const text of ['10.0.0.1/8', '10.0.0.0/33', '10.0.0.0', '10.0.0.0/', '10.0.0/8', '::/0', '10.0.0.0/-1']) {
    assert.equal(parseSubnet(text), undefined, text)
  }
})

test('contains() and broadcastOf() agree with the bits of the prefix', () => {
  fc.assert(
    fc.property(subnet, address, (net, value) => {
      const shift = 2n ** BigInt(32 - net.prefixLength)
      assert.equal(contains(net, value), BigInt(net.base) / shift === BigInt(value) / shift)
      assert.ok(contains(net, net.base) && contains(net, broadcastOf(net)))
    }),
  )
})

test('overlap() holds exactly when one of two subnets contains the base of the other', () => {
  fc.assert(fc.property(subnet, subnet, (a, b) => overlap(a, b) === (contains(a, b.base) || contains(b, a.base))))
})
