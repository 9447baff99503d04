import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bundleOptions, readSecurityOptions } from './bundlePlan.ts'
import { mergeConfig } from './mergedConfig.ts'
import { checkName, randomName } from './names.ts'
import type { ContainerOptions } from './options.ts'
import { INITIAL_STATE } from './record.ts'

test("readSecurityOptions() reads docker's words and refuses others", () => {
  const read = (...securityOptions: string[]) => readSecurityOptions({ image: 'x', securityOptions })
  assert.equal(read('no-new-privileges').noNewPrivileges, true)
  assert.equal(read('no-new-privileges:true').noNewPrivileges, true)
  assert.equal(read('no-new-privileges=false').noNewPrivileges, false)
  assert.equal(read('seccomp=unconfined').seccomp, 'unconfined')
  assert.equal(read('seccomp=/x/y.json').seccompFile, '/x/y.json')
  assert.equal(read('systempaths=unconfined', 'label=disable', 'apparmor=unconfined').systemPathsShown, true)
  for (const text of ['frobnicate', 'systempaths=other', 'seccomp', 'no-new-privileges=maybe']) {
    assert.throws(() => read(text), { code: 'STRATA_INVALID_SECURITY_OPTION' }, text)
  }
})

test('bundleOptions() says what was asked for in the words of the runtime part', () => {
  const options: ContainerOptions = {
    image: 'x',
    command: ['c'],
    env: ['A=1'],
    deviceCgroupRules: ['c 42:* rwm', 'a *:* r'],
    devices: [{ hostPath: '/dev/null', containerPath: '/dev/nothing', access: 'rw' }],
    cpus: 1.5,
    pidsLimit: 7,
    securityOptions: ['systempaths=unconfined'],
  }
  const id = '0'.repeat(64)
  const definition = {
    options,
    image: { id: 'i', name: 'x', platform: 'linux/amd64' },
    config: mergeConfig({}, options, { id, volumes: [] }),
    mounts: [],
  }
  const user = { uid: 33, gid: 34, additionalGids: [35], home: '/home' }
  const bundle = bundleOptions(
    { id, name: 'n', createdAt: new Date(), definition, state: INITIAL_STATE },
    { rootfs: '/r', user, mounts: [], namespaces: { network: 'none' } },
  )
  assert.deepEqual(bundle.process.env, ['A=1', 'HOME=/home'])
  assert.deepEqual(bundle.process.user, { uid: 33, gid: 34, additionalGids: [35] })
  assert.deepEqual(bundle.resources, { cpus: 1.5, pidsLimit: 7 })
  assert.deepEqual(bundle.deviceRules, [
    { allow: true, type: 'c', major: 42, access: 'rwm' },
    { allow: true, access: 'r' },
  ])
  assert.deepEqual(
    bundle.devices?.map(({ device }) => [device.path, device.type, device.major, device.minor]),
    [['/dev/nothing', 'c', 1, 3]],
  )
  assert.deepEqual(bundle.maskedPaths, [])
  assert.equal('seccomp' in bundle, false)
  const wrong = { ...definition, options: { ...options, deviceCgroupRules: ['c 1:2:3 rwm'] } }
  assert.throws(
    () =>
      bundleOptions(
        { id, name: 'n', createdAt: new Date(), definition: wrong, state: INITIAL_STATE },
        { rootfs: '/r', user, mounts: [], namespaces: {} },
      ),
    {
      code: 'STRATA_INVALID_DEVICE_RULE',
    },
  )
})

test('randomName() gives names that checkName() takes', () => {
  for (let attempt = 0; attempt < 50; attempt += 1) checkName('container', randomName(attempt))
  for (const name of ['', 'a', '-a', 'a b', 'a/b', 'ä1', 'x'.repeat(256)])
    assert.throws(() => checkName('container', name), { code: 'STRATA_INVALID_NAME' })
})
