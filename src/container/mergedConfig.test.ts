import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ProcessConfig } from '../oci/index.ts'
import { commandLine, mergeConfig, mergeEnvironment } from './mergedConfig.ts'
import type { ContainerOptions } from './options.ts'

const ID = 'ab'.repeat(32)

function merged(image: ProcessConfig, options: Partial<ContainerOptions> = {}): ReturnType<typeof mergeConfig> {
  return mergeConfig(image, { image: 'x', ...options }, { id: ID, volumes: [] })
}

test('mergeConfig() combines entrypoint and command as docker does', () => {
  const image = { Entrypoint: ['entry', 'a'], Cmd: ['cmd'] }
  assert.deepEqual(commandLine(merged(image)), ['entry', 'a', 'cmd'])
  assert.deepEqual(commandLine(merged(image, { command: ['other'] })), ['entry', 'a', 'other'])
  assert.deepEqual(commandLine(merged(image, { entrypoint: ['mine'] })), ['mine'])
  assert.deepEqual(commandLine(merged(image, { entrypoint: ['mine'], command: ['x'] })), ['mine', 'x'])
  assert.deepEqual(commandLine(merged(image, { entrypoint: [], command: ['x'] })), ['x'])
  for (const options of [{}, { entrypoint: [] }]) assert.throws(() => merged({}, options), { code: 'STRATA_NO_COMMAND' })
})

test('mergeEnvironment() replaces in place, adds at the end and removes names alone', () => {
  assert.deepEqual(mergeEnvironment(['A=1', 'B=2', 'C=3'], ['B=x', 'D=4', 'A', 'B=y=z']), ['B=y=z', 'C=3', 'D=4'])
})

test('mergeConfig() takes ports, labels, user, directory and stop signal of both, the options first', () => {
  const image: ProcessConfig = {
    User: 'www',
    WorkingDir: '/srv',
    StopSignal: 'QUIT',
    Labels: { a: '1', b: '2' },
    ExposedPorts: { '80/tcp': {} },
    Cmd: ['c'],
  }
  const publish = [{ hostAddress: '', hostPort: 0, containerPort: 443, protocol: 'tcp' as const }]
  const config = merged(image, { user: 'root', labels: { b: '3' }, expose: ['53/udp'], publish, stopTimeoutSeconds: 3 })
  assert.deepEqual([config.User, config.WorkingDir, config.StopSignal, config.StopTimeout], ['root', '/srv', 'QUIT', 3])
  assert.deepEqual(config.Labels, { a: '1', b: '3' })
  assert.deepEqual(Object.keys(config.ExposedPorts ?? {}), ['80/tcp', '53/udp', '443/tcp'])
  assert.equal(config.Hostname, 'abababababab')
  assert.equal(config.OnBuild, null)
})

test('mergeConfig() merges health checks field by field, and none is none', () => {
  const image: ProcessConfig = { Cmd: ['c'], Healthcheck: { Test: ['CMD', 'ok'], Interval: 5e9, Retries: 2 } }
  assert.deepEqual(merged(image, { healthCheck: { timeoutMs: 1500, retries: 4 } }).Healthcheck, {
    Test: ['CMD', 'ok'],
    Interval: 5e9,
    Retries: 4,
    Timeout: 1.5e9,
  })
  assert.deepEqual(merged(image, { healthCheck: { shellCommand: 'true' } }).Healthcheck?.Test, ['CMD-SHELL', 'true'])
  assert.deepEqual(merged(image, { healthCheck: { disabled: true } }).Healthcheck, { Test: ['NONE'] })
  assert.equal(merged({ Cmd: ['c'] }).Healthcheck, undefined)
})

test('mergeConfig() says that stdin is for one attachment only when it is attached', () => {
  assert.equal(merged({ Cmd: ['c'] }, { openStdin: true, attach: ['stdin', 'stdout'] }).StdinOnce, true)
  assert.equal(merged({ Cmd: ['c'] }, { openStdin: true }).StdinOnce, false)
})
