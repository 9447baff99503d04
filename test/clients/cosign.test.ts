import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { findProgram, type ProgramResult, runProgram } from '../../src/base/index.ts'
import { openEngine } from '../../src/engine/index.ts'
import { type Descriptor } from '../../src/oci/index.ts'
import { ImageCrafter } from '../support/craftedImages.ts'
import { type LoopbackRegistry, startRegistry } from '../support/loopbackRegistry.ts'
import { attachByTag, newSigner, payloadFor, signed } from '../support/signing.ts'
import { tarOf } from '../support/tars.ts'

const cosign = await findProgram('cosign')

/** What cosign signs Strata takes, and what Strata's tests sign cosign takes. */
describe('cosign', { skip: cosign === undefined ? 'there is no cosign: scripts/signatureJudges.sh builds it where Go is' : false }, () => {
  let scratch: string
  let registry: LoopbackRegistry

  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'strata-cosign-'))
    registry = await startRegistry()
    await must('generate-key-pair')
  })
  after(async () => {
    await registry[Symbol.asyncDispose]()
    await rm(scratch, { recursive: true, force: true })
  })

  function run(...args: readonly string[]): Promise<ProgramResult> {
    const env = { ...process.env, HOME: scratch, COSIGN_PASSWORD: 'secret', COSIGN_EXPERIMENTAL: '1' }
    return runProgram(cosign!, args, { cwd: scratch, env, timeoutMs: 60_000 })
  }

  async function must(...args: readonly string[]): Promise<void> {
    const { code, stderr } = await run(...args)
    assert.equal(code, 0, stderr)
  }

  const sign = (reference: string, ...flags: readonly string[]): Promise<void> =>
    must('sign', '--yes', '--key', 'cosign.key', '--tlog-upload=false', '--allow-http-registry', ...flags, reference)

  async function publish(path: string): Promise<{ readonly crafter: ImageCrafter; readonly name: string; readonly image: Descriptor }> {
    const crafter = new ImageCrafter(registry.address, path)
    return {
      crafter,
      name: `${registry.address}/${path}`,
      image: await crafter.image('1', [{ tar: tarOf({ file: path }), compression: 'gzip' }]),
    }
  }

  /** Pulls where the key and the identity are asked for. */
  async function pull(reference: string, platform?: string): Promise<void> {
    const userConfigDirectory = await mkdtemp(join(scratch, 'config-'))
    await mkdir(join(userConfigDirectory, 'containers'))
    const requirement = { type: 'sigstoreSigned', keyPath: join(scratch, 'cosign.pub'), signedIdentity: { type: 'matchRepository' } }
    await writeFile(join(userConfigDirectory, 'containers/policy.json'), JSON.stringify({ default: [requirement] }))
    await using engine = await openEngine({
      root: join(userConfigDirectory, 'root'),
      userConfigDirectory,
      systemDirectory: userConfigDirectory,
    })
    await engine.pull(reference, platform === undefined ? {} : { platforms: [platform] })
  }

  const rejected = { code: 'STRATA_POLICY_REJECTED' }

  for (const [title, flags] of [
    ['by its tag', []],
    ['by reference', ['--registry-referrers-mode=oci-1-1']],
    ['with claims', ['-a', 'built-by=us']],
  ] as const) {
    test(`pull() takes what cosign signs ${title}`, async () => {
      const { name } = await publish(`signed-${title.replaceAll(' ', '-')}`)
      await assert.rejects(pull(`${name}:1`), rejected)
      await sign(`${name}:1`, ...flags)
      await pull(`${name}:1`)
    })
  }

  test('pull() takes an image of an index that cosign signs, without --recursive and with it', async () => {
    const { crafter, name, image } = await publish('index')
    const other = await crafter.image(undefined, [{ tar: tarOf({ other: '' }), compression: 'none' }], { architecture: 'arm64' })
    await crafter.index('all', { amd64: image, arm64: other })
    await sign(`${name}:all`)
    await pull(`${name}:all`, 'linux/arm64')
    await assert.rejects(pull(`${name}@${other.digest}`), rejected, 'alone it is not signed')
    await sign(`${name}:all`, '--recursive')
    await pull(`${name}@${other.digest}`)
  })

  test('pull() says of a bundle of cosign that it names no image', async () => {
    const { name } = await publish('bundle')
    await sign(`${name}:1`, '--new-bundle-format')
    await assert.rejects(pull(`${name}:1`), { ...rejected, message: /is a sigstore bundle, which names no image/ })
  })

  test('cosign takes what the tests sign, and not what they change', async () => {
    for (const kind of ['prime256v1', 'rsa', 'ed25519']) {
      const signer = newSigner(kind)
      await writeFile(join(scratch, 'ours.pub'), signer.publicKey)
      const verify = async (reference: string): Promise<number | undefined> =>
        (await run('verify', '--key', 'ours.pub', '--insecure-ignore-tlog', '--allow-http-registry', reference)).code
      const { crafter, name, image } = await publish(`ours-${kind}`)
      assert.notEqual(await verify(`${name}:1`), 0)
      const good = signed(signer, payloadFor(image.digest, name))
      await attachByTag(crafter, image, [{ ...good, payload: payloadFor(image.digest, `${name}x`) }])
      assert.notEqual(await verify(`${name}:1`), 0)
      await attachByTag(crafter, image, [good])
      assert.equal(await verify(`${name}:1`), 0)
    }
  })
})
