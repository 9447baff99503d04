import assert from 'node:assert/strict'
import { createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { layeredImage } from '../../scripts/fixtures/layeredImage.ts'
import { type Engine, openEngine } from '../../src/engine/index.ts'
import { mount, unmount } from '../../src/host/index.ts'
import { must } from '../support/commands.ts'
import { startRegistry } from '../support/loopbackRegistry.ts'
import { treeFacts } from '../support/treeFacts.ts'

const isRoot = process.getuid?.() === 0

/** skopeo and umoci are the judges: what they write we must read, and what we write they must unpack to the same tree. */
describe('independent judges', { skip: isRoot ? false : 'umoci unpacks owners and devices only as root' }, () => {
  let scratch: string
  let original: string
  let expected: readonly string[]

  before(async () => {
    // Not in /tmp, which may be a tmpfs (Debian 13): EROFS mounts no file of one.
    scratch = await mkdtemp('/var/tmp/strata-judges-')
    original = await layeredImage()
    expected = await unpacked(original, 'layered')
    assert.ok(expected.length > 250)
    // The fixture has what is easily lost.
    assert.ok(expected.some(line => line.includes('user.strata=00ff0a41')))
    assert.ok(expected.some(line => line.includes('security.capability=')))
  })
  after(() => rm(scratch, { recursive: true, force: true }))

  async function unpacked(layout: string, tag: string): Promise<readonly string[]> {
    const bundle = await mkdtemp(join(scratch, 'bundle-'))
    await must('umoci', 'unpack', '--image', `${layout}:${tag}`, join(bundle, 'it'))
    const facts = await treeFacts(join(bundle, 'it', 'rootfs'))
    await rm(bundle, { recursive: true, force: true })
    return facts
  }

  async function freshEngine(storageDriver?: string): Promise<Engine> {
    return openEngine({
      root: join(await mkdtemp(join(scratch, 'store-')), 'root'),
      ...(storageDriver === undefined ? {} : { storageDriver }),
    })
  }

  async function archived(format: 'docker-archive' | 'oci-archive'): Promise<string> {
    const path = join(await mkdtemp(join(scratch, 'archive-')), `${format}.tar`)
    await must('skopeo', '--insecure-policy', 'copy', '-q', `oci:${original}:layered`, `${format}:${path}:localhost/layered:1`)
    return path
  }

  async function savedLayout(engine: Engine, reference: string, format: 'docker' | 'oci'): Promise<string> {
    const directory = await mkdtemp(join(scratch, 'saved-'))
    await pipeline(await engine.save([reference], { format }), createWriteStream(join(directory, 'saved.tar')))
    await mkdir(join(directory, 'layout'))
    await must('tar', '-C', join(directory, 'layout'), '-xf', join(directory, 'saved.tar'))
    return join(directory, 'layout')
  }

  for (const driver of ['overlay2', 'erofs', 'vfs']) {
    for (const format of ['docker-archive', 'oci-archive'] as const) {
      test(`load() of skopeo's ${format} and save() keep the tree on ${driver}`, async () => {
        await using engine = await freshEngine(driver)
        const loaded = await engine.load(await archived(format))
        assert.deepEqual(
          loaded.map(({ name }) => name),
          ['localhost/layered:1'],
        )
        const layout = await savedLayout(engine, 'localhost/layered:1', 'oci')
        assert.deepEqual(await unpacked(layout, '1'), expected)
      })
    }
  }

  test('save() writes a docker-archive that skopeo reads', async () => {
    await using engine = await freshEngine()
    await engine.load(await archived('docker-archive'))
    const archive = join(scratch, 'again.tar')
    await pipeline(await engine.save(['localhost/layered:1']), createWriteStream(archive))
    const layout = join(scratch, 'again')
    await must('skopeo', '--insecure-policy', 'copy', '-q', `docker-archive:${archive}`, `oci:${layout}:x`)
    assert.deepEqual(await unpacked(layout, 'x'), expected)
  })

  test('save() gives the same bytes twice', async () => {
    await using engine = await freshEngine()
    await engine.load(await archived('docker-archive'))
    const twice = [join(scratch, 'one.tar'), join(scratch, 'two.tar')]
    for (const path of twice) await pipeline(await engine.save(['localhost/layered:1']), createWriteStream(path))
    await must('cmp', ...twice)
  })

  test('push() and pull() go through a real registry and keep the tree; the root is an OCI layout', async () => {
    await using registry = await startRegistry()
    await must(
      'skopeo',
      '--insecure-policy',
      'copy',
      '-q',
      '--dest-tls-verify=false',
      `oci:${original}:layered`,
      `docker://${registry.address}/layered:1`,
    )
    const root = join(scratch, 'layout-root')
    await using engine = await openEngine({ root })
    const [pulled] = await engine.pull(`${registry.address}/layered:1`)
    assert.equal(pulled!.newer, true)
    assert.deepEqual(await unpacked(root, '1'), expected)

    // A pulled image goes on with the same digest.
    await engine.tag(`${registry.address}/layered:1`, `${registry.address}/other/layered:2`)
    const [pushed] = await engine.push(`${registry.address}/other/layered:2`)
    assert.equal(pushed!.manifestDigest, pulled!.manifestDigest)

    // A loaded image has plain layers, which are compressed on their way.
    await engine.load(await archived('docker-archive'))
    await engine.tag('localhost/layered:1', `${registry.address}/loaded:3`)
    for (const compression of ['gzip', 'zstd', 'none'] as const) await engine.push(`${registry.address}/loaded:3`, { compression })
    const layout = join(scratch, 'from-registry')
    await must(
      'skopeo',
      '--insecure-policy',
      'copy',
      '-q',
      '--src-tls-verify=false',
      `docker://${registry.address}/loaded:3`,
      `oci:${layout}:x`,
    )
    assert.deepEqual(await unpacked(layout, 'x'), expected)
  })

  test('an ordinary user loads, saves and pushes without unpacking', async () => {
    await using registry = await startRegistry()
    const home = await mkdtemp(join(tmpdir(), 'strata-user-'))
    // The checkout may lie where other users cannot look.
    const checkout = join(home, 'checkout')
    await mkdir(checkout)
    mount({ type: 'bind', source: fileURLToPath(new URL('../..', import.meta.url)), options: ['bind', 'ro'] }, checkout)
    try {
      await must('chown', '65534:65534', home)
      const archive = join(home, 'in.tar')
      await must('cp', await archived('docker-archive'), archive)
      await must('chmod', '644', archive)
      const program = `
        import { openEngine } from ${JSON.stringify(pathToFileURL(join(checkout, 'src/engine/index.ts')).href)}
        import { createWriteStream } from 'node:fs'
        import { pipeline } from 'node:stream/promises'
        process.setgid(65534); process.setuid(65534); process.env.HOME = ${JSON.stringify(home)}
        await using engine = await openEngine({ root: ${JSON.stringify(join(home, 'root'))} })
        await engine.load(${JSON.stringify(archive)})
        await engine.tag('localhost/layered:1', '${registry.address}/user:1')
        await engine.push('${registry.address}/user:1')
        await pipeline(await engine.save(['localhost/layered:1'], { format: 'oci' }), createWriteStream(${JSON.stringify(join(home, 'out.tar'))}))
        await engine.pull('${registry.address}/user:1')
        console.log((await engine.history('localhost/layered:1')).length)
        const looks = [engine.inspectContainer('x'), engine.inspectVolume('x'), engine.inspectNetwork('bridge')].map(look => look.catch(error => error.code))
        const seen = [...(await Promise.all(looks)), (await engine.containers()).length, (await engine.volumes()).length, (await engine.networks()).length].join()
        if (seen !== 'STRATA_NO_SUCH_CONTAINER,STRATA_NO_SUCH_VOLUME,STRATA_NO_SUCH_NETWORK,0,0,0') throw new Error(seen)
      `
      await must(process.execPath, '--input-type=module', '--disable-warning=ExperimentalWarning', '-e', program)
      const layout = join(scratch, 'user')
      await mkdir(layout)
      await must('tar', '-C', layout, '-xf', join(home, 'out.tar'))
      assert.deepEqual(await unpacked(layout, '1'), expected)
    } finally {
      unmount(checkout)
      await rm(home, { recursive: true, force: true })
    }
  })
})
