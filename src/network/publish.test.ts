import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { isStrataError } from '../base/index.ts'
import { parseExposedPorts, parsePublish, publishAll } from './publish.ts'

const one = (hostAddress: string, hostPort: number, containerPort: number, protocol = 'tcp'): object => ({
  hostAddress,
  hostPort,
  containerPort,
  protocol,
})

test('parsePublish() reads the forms that docker run --publish takes', () => {
  assert.deepEqual(parsePublish('80'), [one('', 0, 80)])
  assert.deepEqual(parsePublish('8080:80'), [one('', 8080, 80)])
  assert.deepEqual(parsePublish('8080:80/UDP'), [one('', 8080, 80, 'udp')])
  assert.deepEqual(parsePublish('127.0.0.1:8080:80/udp'), [one('127.0.0.1', 8080, 80, 'udp')])
  assert.deepEqual(parsePublish('127.0.0.1::80'), [one('127.0.0.1', 0, 80)])
  assert.deepEqual(parsePublish('[::1]:8080:80/sctp'), [one('::1', 8080, 80, 'sctp')])
  assert.deepEqual(parsePublish(':80'), [one('', 0, 80)])
  assert.deepEqual(parsePublish('80-82'), [one('', 0, 80), one('', 0, 81), one('', 0, 82)])
  assert.deepEqual(parsePublish('8000-8001:80-81'), [one('', 8000, 80), one('', 8001, 81)])
  assert.deepEqual(parsePublish('8000-9000:80'), [{ ...one('', 8000, 80), hostPortEnd: 9000 }])
})

test('parsePublish() refuses everything else with a sentence that quotes it', () => {
  const ports = ['', ':', '/tcp', '80/tcp/udp', '80/icmp', '0', '65536', '8080:', 'a:80', '80-70', '80:-1', '8 0', '80\n', '99999999:80']
  const ranges = ['8000-8002:80-81', '8000:80-81']
  const addresses = ['1.2.3:80:80', 'localhost:80:80', '::1:80:80', '[::1:80:80', '1:2:3:4']
  for (const text of [...ports, ...ranges, ...addresses]) {
    assert.throws(
      () => parsePublish(text),
      (error: unknown) => isStrataError(error, 'invalidArgument') && error.message.startsWith(`Cannot publish "${text}": `),
      text,
    )
  }
})

test('parsePublish() throws nothing but STRATA_INVALID_PUBLISH, whatever the text', () => {
  const text = fc.oneof(
    fc.string(),
    fc
      .array(fc.constantFrom('8', '0', ':', '-', '/', '[', ']', '.', 'tcp', '127.0.0.1', '::1', '65535'), { maxLength: 12 })
      .map(parts => parts.join('')),
  )
  fc.assert(
    fc.property(text, value => {
      try {
        for (const { hostPort, containerPort } of parsePublish(value)) {
          assert.ok(hostPort >= 0 && hostPort <= 65535 && containerPort >= 1 && containerPort <= 65535)
        }
      } catch (error) {
        assert.ok(isStrataError(error, 'invalidArgument'), String(error))
      }
    }),
  )
})

test('parsePublish() gives each port of two ranges of one length its partner', () => {
  const range = fc.record({
    host: fc.integer({ min: 1, max: 60_000 }),
    container: fc.integer({ min: 1, max: 60_000 }),
    length: fc.integer({ min: 1, max: 100 }),
  })
  fc.assert(
    fc.property(range, ({ host, container, length }) => {
      const ports = parsePublish(`${host}-${host + length}:${container}-${container + length}/udp`)
      assert.equal(ports.length, length + 1)
      for (const [index, port] of ports.entries()) assert.deepEqual(port, one('', host + index, container + index, 'udp'))
    }),
  )
})

test('parseExposedPorts() spells ranges out', () => {
  assert.deepEqual(parseExposedPorts('80'), ['80/tcp'])
  assert.deepEqual(parseExposedPorts('53-55/udp'), ['53/udp', '54/udp', '55/udp'])
  for (const text of ['', '/tcp', '80/x', '80:80', '0'])
    assert.throws(() => parseExposedPorts(text), { code: 'STRATA_INVALID_PUBLISH' }, text)
})

test('publishAll() adds each exposed port that no request names, once', () => {
  const explicit = parsePublish('8080:80')
  assert.deepEqual(publishAll(['80/tcp', '80/udp', '443', '443/tcp'], explicit), [...explicit, one('', 0, 80, 'udp'), one('', 0, 443)])
})
