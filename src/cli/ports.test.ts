import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ContainerPort } from '../engine/index.ts'
import { formatPorts } from './ports.ts'

const exposed = (containerPort: number, protocol: ContainerPort['protocol'] = 'tcp'): ContainerPort => ({ containerPort, protocol })
const published = (
  hostAddress: string,
  hostPort: number,
  containerPort: number,
  protocol: ContainerPort['protocol'] = 'tcp',
): ContainerPort => ({
  hostAddress,
  hostPort,
  containerPort,
  protocol,
})

test('formatPorts() shows ports as docker ps does', () => {
  const cases: readonly (readonly [readonly ContainerPort[], string])[] = [
    [[], ''],
    [[exposed(80)], '80/tcp'],
    [[published('0.0.0.0', 8080, 80)], '0.0.0.0:8080->80/tcp'],
    [[published('::', 8080, 80), published('0.0.0.0', 8080, 80)], '0.0.0.0:8080->80/tcp, [::]:8080->80/tcp'],
    [[exposed(82), exposed(80), exposed(81), exposed(90)], '80-82/tcp, 90/tcp'],
    [[exposed(53), exposed(53, 'udp')], '53/tcp, 53/udp'],
    [[published('0.0.0.0', 80, 80), published('0.0.0.0', 81, 81), published('0.0.0.0', 82, 82)], '0.0.0.0:80-82->80-82/tcp'],
    [[exposed(443), published('127.0.0.1', 8080, 80)], '443/tcp, 127.0.0.1:8080->80/tcp'],
    [[published('127.0.0.1', 8080, 80), published('127.0.0.1', 8081, 81)], '127.0.0.1:8080->80/tcp, 127.0.0.1:8081->81/tcp'],
  ]
  for (const [ports, text] of cases) assert.equal(formatPorts(ports), text)
})
