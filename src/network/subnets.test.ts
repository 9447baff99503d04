import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { formatSubnet, overlap, parseSubnet, subnetOf } from './ipv4.ts'
import { lowestFree } from './reservation.ts'
import { chooseSubnet, parseRoutes } from './subnets.ts'

test('chooseSubnet() takes the first candidate, or the preferred one', () => {
  assert.equal(formatSubnet(chooseSubnet([])), '10.208.0.0/16')
  assert.equal(formatSubnet(chooseSubnet([], 3, parseSubnet('10.99.0.0/16'))), '10.99.0.0/16')
})

test('chooseSubnet() begins where it is told to, and goes round', () => {
  assert.equal(formatSubnet(chooseSubnet([], 33)), '10.209.0.0/16')
  assert.equal(formatSubnet(chooseSubnet([parseSubnet('192.168.175.0/24')!], 31)), '10.208.0.0/16')
})

test('chooseSubnet() never overlaps a route of the host', () => {
  const route = fc
    .tuple(fc.constantFrom(10 * 2 ** 24 + 208 * 2 ** 16, 192 * 2 ** 24 + 168 * 2 ** 16), fc.nat(2 ** 20), fc.integer({ min: 16, max: 32 }))
    .map(([start, offset, length]) => subnetOf(start + offset, length))
  fc.assert(
    fc.property(fc.array(route, { maxLength: 10 }), occupied => {
      const chosen = chooseSubnet(occupied, 0, parseSubnet('10.208.0.0/16'))
      assert.ok(!occupied.some(other => overlap(other, chosen)))
    }),
  )
})

test('chooseSubnet() says so when the host has routes to everything', () => {
  assert.throws(() => chooseSubnet([parseSubnet('0.0.0.0/0')!]), { code: 'STRATA_NO_SUBNET', kind: 'unavailable' })
})

test('parseRoutes() reads the kernel’s table with its byte order', () => {
  const text = `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
tun0\t0000D00A\t00000000\t0001\t0\t0\t0\t0000F0FF\t0\t0\t0
gw\t0100000A\t00000000\t0001\t0\t0\t0\tFFFFFFFF\t0\t0\t0
`
  assert.deepEqual(
    parseRoutes(text).map(route => `${route.interfaceName} ${formatSubnet(route)}`),
    ['eth0 0.0.0.0/0', 'eth0 192.0.2.0/24', 'tun0 10.208.0.0/12', 'gw 10.0.0.1/32'],
  )
})

test('lowestFree() is the smallest number from the first on that is not taken', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(30)), fc.nat(30), (numbers, first) => {
      const taken = numbers.sort((a, b) => a - b)
      const free = lowestFree(taken, first)
      assert.ok(free >= first && !taken.includes(free))
      for (let lower = first; lower < free; lower += 1) assert.ok(taken.includes(lower))
    }),
  )
})
