import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, beforeEach, describe, test } from 'node:test'
import {
  close,
  ConfinedRoot,
  isMountPoint,
  kernelFacts,
  type Mount,
  mount,
  mountsBelow,
  removeTreeAt,
  CURRENT_DIRECTORY,
  unmount,
} from './index.ts'

const skip = process.getuid?.() !== 0 && 'needs root'
const scratch = mkdtempSync(join(tmpdir(), 'strata-host-mounts-'))
let counter = 0
let base = ''

const dir = (...names: string[]): string => {
  const path = join(base, ...names)
  mkdirSync(path, { recursive: true })
  return path
}

beforeEach(() => {
  counter += 1
  base = join(scratch, String(counter))
  mkdirSync(base)
})

after(() => {
  for (const { target } of mountsBelow(scratch).toReversed()) unmount(target, { detach: true })
  rmSync(scratch, { recursive: true })
})

const tmpfs = (...options: string[]): Mount => ({ type: 'tmpfs', source: 'tmpfs', options })
const codeOf = (work: () => void): unknown => {
  try {
    work()
    return undefined
  } catch (error) {
    return (error as NodeJS.ErrnoException).code
  }
}

describe('mount()', { skip }, () => {
  test('mounts a tmpfs with its options, unmount() takes it away', () => {
    const target = dir('t')
    assert.equal(isMountPoint(target), false)
    mount(tmpfs('size=1m', 'mode=0711', 'nosuid', 'noexec'), target)
    assert.equal(isMountPoint(target), true)
    const [point, ...others] = mountsBelow(base)
    assert.deepEqual(others, [])
    assert.deepEqual([point?.target, point?.superOptions.includes('mode=711')], [target, true])
    assert.ok(point?.options.includes('nosuid') && point.options.includes('noexec'))
    unmount(target)
    assert.equal(isMountPoint(target), false)
    assert.throws(() => unmount(target), { code: 'EINVAL', syscall: 'umount2', path: target })
  })

  test('mounts proc', () => {
    const target = dir('proc')
    mount({ type: 'proc', source: 'proc', options: ['nosuid', 'nodev', 'noexec'] }, target)
    assert.ok(existsSync(join(target, 'self')))
    unmount(target)
  })

  test('makes a bind mount read-only and keeps what the source’s mount has', () => {
    const source = dir('source')
    mount(tmpfs('nodev'), source)
    writeFileSync(join(source, 'f'), 'seen')
    const target = dir('target')
    mount({ type: 'bind', source, options: ['bind', 'ro'] }, target)
    assert.equal(readFileSync(join(target, 'f'), 'utf8'), 'seen')
    assert.equal(
      codeOf(() => writeFileSync(join(target, 'g'), '')),
      'EROFS',
    )
    const options = mountsBelow(target)[0]?.options
    assert.ok(options?.includes('ro') && options.includes('nodev'), String(options))
    writeFileSync(join(source, 'g'), 'the source stays writable')
    mount({ type: '', source: '', options: ['remount', 'bind', 'rw', 'noexec'] }, target)
    writeFileSync(join(target, 'h'), '')
    assert.ok(mountsBelow(target)[0]?.options.includes('nodev'))
    unmount(target)
    unmount(source)
  })

  test('rbind takes the mounts below along; ro is for the top, rro for all', () => {
    const source = dir('source')
    mount(tmpfs(), source)
    mkdirSync(join(source, 'inner'))
    mount(tmpfs(), join(source, 'inner'))
    const target = dir('target')
    mount({ type: 'bind', source, options: ['rbind', 'ro', 'rprivate'] }, target)
    writeFileSync(join(target, 'inner', 'f'), '')
    unmount(target, { detach: true })
    mount({ type: 'bind', source, options: ['rbind', 'rro'] }, target)
    assert.equal(
      codeOf(() => writeFileSync(join(target, 'inner', 'g'), '')),
      'EROFS',
    )
    unmount(target, { detach: true })
    mount({ type: 'bind', source, options: ['bind'] }, target)
    assert.deepEqual(readdirSync(join(target, 'inner')), [])
    unmount(target)
    unmount(source, { detach: true })
    assert.deepEqual(mountsBelow(base), [])
  })

  test('sets propagation, also alone', () => {
    const target = dir('t')
    mount(tmpfs('rshared'), target)
    assert.match(String(mountsBelow(base)[0]?.propagation), /^shared:/)
    mount({ type: 'none', source: '', options: ['private'] }, target)
    assert.deepEqual(mountsBelow(base)[0]?.propagation, [])
    unmount(target)
  })

  test('a bind of a file works, and a link as the target of unmount() is not followed', () => {
    const file = join(dir('x'), 'file')
    const onto = join(dir('x'), 'onto')
    writeFileSync(file, 'one')
    writeFileSync(onto, 'two')
    mount({ type: 'bind', source: file, options: ['bind', 'ro'] }, onto)
    assert.equal(readFileSync(onto, 'utf8'), 'one')
    symlinkSync(onto, join(base, 'link'))
    assert.throws(() => unmount(join(base, 'link')), { code: 'EINVAL' })
    unmount(onto)
    assert.equal(readFileSync(onto, 'utf8'), 'two')
  })

  test('leaves nothing mounted when a later step fails', () => {
    const target = dir('t')
    assert.throws(() => mount({ type: 'bind', source: join(base, 'missing'), options: ['bind', 'ro'] }, target), { code: 'ENOENT' })
    assert.throws(() => mount(tmpfs('size=nonsense'), target), { code: 'EINVAL' })
    assert.throws(() => mount({ type: 'nosuchfs', source: 'x', options: [] }, target), { code: 'ENODEV' })
    assert.deepEqual(mountsBelow(base), [])
  })

  test('unmount() with detach frees a place that is in use', () => {
    const target = dir('t')
    mount(tmpfs(), target)
    using inside = new ConfinedRoot(target)
    assert.throws(() => unmount(target), { code: 'EBUSY' })
    unmount(target, { detach: true })
    assert.equal(isMountPoint(target), false)
    inside.makeDirectory('still-there', 0o755)
  })

  test('hostile #45: a target that is swapped for a link after it was opened is not followed', () => {
    const image = dir('image')
    const outside = dir('outside')
    dir('image', 'data')
    using root = new ConfinedRoot(image)
    const place = root.openPath('data')
    root.rename('data', 'moved')
    root.symlink(outside, 'data')
    for (const what of [tmpfs(), { type: 'bind', source: dir('source'), options: ['bind', 'ro'] }]) {
      mount(what, `/proc/self/fd/${place}`)
      assert.deepEqual(
        mountsBelow(base).map(({ target }) => target),
        [join(image, 'moved')],
      )
      unmount(join(image, 'moved'))
    }
    close(place)
  })
})

describe('mount() of overlay', { skip: skip || (!kernelFacts().overlay && 'needs overlayfs') }, () => {
  const stack = (count: number, name: (index: number) => string): string[] =>
    Array.from({ length: count }, (_, index) => {
      const path = dir('lowers', name(index))
      writeFileSync(join(path, `only-${index}`), String(index))
      writeFileSync(join(path, 'all'), String(index))
      return path
    })
  const overlay = (lowers: readonly string[], ...options: string[]): Mount => ({
    type: 'overlay',
    source: 'overlay',
    options: [
      `lowerdir=${lowers.map(path => path.replaceAll(/[:\\]/g, '\\$&')).join(':')}`,
      `upperdir=${dir('upper')}`,
      `workdir=${dir('work')}`,
      ...options,
    ],
  })

  test('stacks 500 lowers with long names in order, the first on top', () => {
    const lowers = stack(500, index => `a-name-of-some-length-for-the-layer-${index}`)
    const target = dir('merged')
    mount(overlay(lowers, 'nodev'), target)
    assert.equal(readdirSync(target).length, 501)
    assert.equal(readFileSync(join(target, 'all'), 'utf8'), '0')
    assert.equal(readFileSync(join(target, 'only-499'), 'utf8'), '499')
    writeFileSync(join(target, 'all'), 'written')
    assert.equal(readFileSync(join(base, 'upper', 'all'), 'utf8'), 'written')
    assert.ok(mountsBelow(target)[0]?.options.includes('nodev'))
    unmount(target)
  })

  test('says what the kernel says about the 501st', () => {
    const lowers = stack(501, index => `a-name-of-some-length-for-the-layer-${index}`)
    assert.throws(() => mount(overlay(lowers), dir('merged')), { code: 'EINVAL', message: /too many lower directories, limit is 500/ })
    assert.deepEqual(mountsBelow(base), [])
  })

  test('takes names with colons, commas and backslashes, and paths longer than a setting', () => {
    const lowers = stack(3, index => `${index}:with,odd\\name/${'deep/'.repeat(60)}end`)
    const target = dir('merged')
    mount(overlay(lowers), target)
    assert.equal(readFileSync(join(target, 'all'), 'utf8'), '0')
    assert.equal(readdirSync(target).length, 4)
    unmount(target)
  })

  test('is read-only when it is told so, through either way into the kernel', () => {
    for (const count of [2, 200]) {
      const target = dir(`merged-${count}`)
      mount(
        overlay(
          stack(count, index => `some-directory-${index}-of-${count}`),
          'ro',
        ),
        target,
      )
      assert.equal(
        codeOf(() => writeFileSync(join(target, 'f'), '')),
        'EROFS',
      )
      unmount(target)
    }
  })
})

describe('removeTreeAt() near mounts', { skip }, () => {
  test('leaves a mount below alone: EBUSY, and its files stay', () => {
    const target = dir('tree', 'a', 'mounted')
    const source = dir('source')
    writeFileSync(join(source, 'keep'), '')
    mount({ type: 'bind', source, options: ['bind'] }, target)
    assert.throws(() => removeTreeAt(CURRENT_DIRECTORY, join(base, 'tree')), { code: 'EBUSY', path: 'mounted' })
    assert.deepEqual(readdirSync(source), ['keep'])
    unmount(target)
    removeTreeAt(CURRENT_DIRECTORY, join(base, 'tree'))
    assert.ok(!existsSync(join(base, 'tree')))
    assert.deepEqual(readdirSync(source), ['keep'])
  })
})

describe('kernelFacts()', () => {
  test('reads this kernel', () => {
    const facts = kernelFacts()
    assert.match(facts.release, new RegExp(`^${facts.version.major}\\.${facts.version.minor}`))
    if (!skip) assert.equal(facts.canMount, codeOf(() => mount(tmpfs(), dir('t'))) === undefined)
  })
})
