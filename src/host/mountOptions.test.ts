import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { attributesOf, planMount, splitLowers } from './mountOptions.ts'
import { parseMountTable } from './mountTable.ts'

describe('planMount()', () => {
  test('tells flags from what belongs to the file system', () => {
    const plan = planMount(['nosuid', 'size=64k', '', 'defaults', 'ro', 'mode=0700'])
    assert.deepEqual([plan.flags, plan.data, plan.bind, plan.superFlags], [3, ['size=64k', 'mode=0700'], 'no', ['ro']])
  })

  test('lets the later of two options win', () => {
    assert.deepEqual([planMount(['ro', 'rw']).flags, planMount(['ro', 'rw']).cleared, planMount(['ro', 'rw']).superFlags], [0, 1, []])
    assert.deepEqual([planMount(['exec', 'noexec']).flags, planMount(['exec', 'noexec']).cleared], [8, 0])
  })

  test('reads bind, propagation and recursive read-only', () => {
    const plan = planMount(['rbind', 'bind', 'rro', 'rprivate', 'shared'])
    assert.deepEqual([plan.bind, plan.recursiveReadOnly, plan.data], ['recursive', true, []])
    assert.deepEqual(plan.propagation, [
      { type: 1 << 18, recursive: true },
      { type: 1 << 20, recursive: false },
    ])
  })

  test('takes no option for a property of JavaScript’s objects', () => {
    assert.deepEqual(planMount(['constructor', 'toString', '__proto__']).data, ['constructor', 'toString', '__proto__'])
  })
})

describe('attributesOf()', () => {
  test('clears how access times are kept before it sets another way', () => {
    assert.deepEqual(attributesOf(planMount(['noatime'])), { set: 0x10, clear: 0x70 })
    assert.deepEqual(attributesOf(planMount(['relatime', 'ro'])), { set: 1, clear: 0x70 })
    assert.deepEqual(attributesOf(planMount(['rw', 'nosuid'])), { set: 2, clear: 1 })
  })
})

describe('splitLowers()', () => {
  test('splits at colons that are not escaped', () => {
    assert.deepEqual(splitLowers('/a:/b\\:c:/d\\\\:/e,f'), ['/a', '/b:c', '/d\\', '/e,f'])
  })
})

describe('parseMountTable()', () => {
  test('reads escaped paths, optional fields and bytes that are not UTF-8', () => {
    const text = Buffer.concat([
      Buffer.from('36 35 98:0 /a\\040b /mnt\\134x rw,noatime master:1 shared:7 - fuse.sshfs /dev/root\\011x rw,lowerdir=/l\\040\n'),
      Buffer.from('37 35 0:5 / /x'),
      Buffer.of(0xff),
      Buffer.from(' rw - tmpfs none rw\nnot a line\n\n'),
    ])
    assert.deepEqual(parseMountTable(text), [
      {
        id: 36,
        parentId: 35,
        device: '98:0',
        root: '/a b',
        target: '/mnt\\x',
        options: ['rw', 'noatime'],
        propagation: ['master:1', 'shared:7'],
        type: 'fuse.sshfs',
        source: '/dev/root\tx',
        superOptions: ['rw', 'lowerdir=/l '],
      },
      {
        id: 37,
        parentId: 35,
        device: '0:5',
        root: '/',
        target: '/x\udcff',
        options: ['rw'],
        propagation: [],
        type: 'tmpfs',
        source: 'none',
        superOptions: ['rw'],
      },
    ])
  })
})
