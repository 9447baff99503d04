import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseVolumesFrom, planMounts } from './mountPlan.ts'
import type { MountRecord } from './mountRecord.ts'
import type { ContainerOptions } from './options.ts'

function plan(options: Partial<ContainerOptions>, imageVolumes: readonly string[] = []): readonly MountRecord[] {
  return planMounts({ image: 'x', ...options }, imageVolumes, [])
}

test('planMounts() reads -v as docker does', () => {
  const [bind, volume, anonymous] = plan({ binds: ['/a/../b:/t/:ro,rshared', 'name:/v:nocopy', '/only'] })
  assert.deepEqual(bind, {
    type: 'bind',
    source: '/b',
    createSource: true,
    propagation: 'rshared',
    recursive: true,
    target: '/t',
    readOnly: true,
    asMount: false,
    mode: 'ro,rshared',
  })
  assert.deepEqual(volume, {
    type: 'volume',
    volume: 'name',
    anonymous: false,
    copyUp: false,
    target: '/v',
    readOnly: false,
    asMount: false,
    mode: 'nocopy',
  })
  assert.equal(anonymous?.type === 'volume' && anonymous.anonymous && /^[0-9a-f]{64}$/.test(anonymous.volume), true)
})

test('planMounts() refuses what is no mount', () => {
  const wrong = ['', 'a:b:c:d', '/a:relative', '/a:/', 'name:/x:frobnicate', '/a:/x\0y', ':/x', 'x:']
  for (const bind of wrong) assert.throws(() => plan({ binds: [bind] }), { code: 'STRATA_INVALID_MOUNT' }, bind)
  assert.throws(() => plan({ binds: ['../x:/y'] }), { code: 'STRATA_INVALID_NAME' })
  assert.throws(() => plan({ binds: ['/a:/x'], tmpfs: { '/x/': '' } }), { code: 'STRATA_INVALID_MOUNT' })
  assert.throws(() => plan({ mounts: [{ type: 'volume', target: '/x', volume: { driver: 'other' } }] }), {
    code: 'STRATA_NO_VOLUME_DRIVER',
  })
  assert.throws(() => plan({ mounts: [{ type: 'image', source: 'i', target: '/x' }] }), { kind: 'unsupported' })
})

test("planMounts() lets the user's mounts win over those of other containers, and these over the image's volumes", () => {
  const other = plan({ binds: ['/o:/user', '/o:/other'] })
  const planned = planMounts({ image: 'x', binds: ['/mine:/user'] }, ['/user', '/other', '/own'], [{ mounts: other, access: 'ro' }])
  const facts = planned.map(mount => [mount.target, mount.type, mount.type === 'bind' ? mount.source : '', mount.readOnly])
  assert.deepEqual(facts, [
    ['/user', 'bind', '/mine', false],
    ['/other', 'bind', '/o', true],
    ['/own', 'volume', '', false],
  ])
})

test('parseVolumesFrom() reads a container and how its mounts are to be had', () => {
  assert.deepEqual(parseVolumesFrom('c'), { container: 'c', access: 'rw' })
  assert.deepEqual(parseVolumesFrom('c:ro'), { container: 'c', access: 'ro' })
  assert.deepEqual(parseVolumesFrom('c:z,rw'), { container: 'c', access: 'rw' })
  for (const text of ['', ':ro', 'c:maybe']) assert.throws(() => parseVolumesFrom(text), { code: 'STRATA_INVALID_MOUNT' })
})
