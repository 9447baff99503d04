import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MountPoint } from '../host/index.ts'
import { cgroupLayout, readCgroupFacts } from './cgroups.ts'

function mountPoint(type: string, target: string, superOptions: string[] = [], options = ['rw']): MountPoint {
  return {
    id: 1,
    parentId: 0,
    device: '0:1',
    root: '/',
    target,
    options,
    propagation: [],
    type,
    source: type,
    superOptions: ['rw', ...superOptions],
  }
}

const V1 = [
  mountPoint('tmpfs', '/sys/fs/cgroup'),
  mountPoint('cgroup', '/sys/fs/cgroup/memory', ['memory']),
  mountPoint('cgroup', '/sys/fs/cgroup/cpu,cpuacct', ['cpu', 'cpuacct']),
  mountPoint('cgroup', '/sys/fs/cgroup/systemd', ['xattr', 'name=systemd']),
]

test('cgroupLayout() tells the layouts apart', () => {
  assert.equal(cgroupLayout([]).layout, 'none')
  assert.equal(cgroupLayout([mountPoint('tmpfs', '/sys/fs/cgroup')]).layout, 'none')
  assert.equal(cgroupLayout([mountPoint('cgroup2', '/sys/fs/cgroup')]).layout, 'v2')
  assert.equal(cgroupLayout(V1).layout, 'v1')
  const hybrid = cgroupLayout([...V1, mountPoint('cgroup2', '/sys/fs/cgroup/unified')])
  assert.deepEqual([hybrid.layout, hybrid.unified], ['hybrid', '/sys/fs/cgroup/unified'])
})

test('cgroupLayout() knows where each version 1 controller is', () => {
  assert.deepEqual([...cgroupLayout(V1).targets.keys()], ['memory', 'cpu', 'cpuacct'])
  assert.equal(cgroupLayout(V1).targets.get('cpuacct'), '/sys/fs/cgroup/cpu,cpuacct')
})

test('cgroupLayout() takes a read-only mount, as containers have it, for none', () => {
  assert.equal(cgroupLayout([mountPoint('cgroup2', '/sys/fs/cgroup', [], ['ro', 'nosuid'])]).layout, 'none')
  assert.equal(cgroupLayout(V1.map(mount => ({ ...mount, options: ['ro'] }))).layout, 'none')
})

test('readCgroupFacts() finds controllers where there is a layout', async () => {
  const facts = await readCgroupFacts()
  assert.equal(facts.controllers.length > 0, facts.layout !== 'none')
})
