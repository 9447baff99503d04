import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { findProgram, isStrataError, runProgram } from '../../src/base/index.ts'
import { type Engine, openEngine } from '../../src/engine/index.ts'
import { type Descriptor, MEDIA_TYPES } from '../../src/oci/index.ts'
import { ImageCrafter } from '../support/craftedImages.ts'
import { type LoopbackRegistry, startRegistry } from '../support/loopbackRegistry.ts'
import { attachAsReferrer, attachByTag, newSigner, payloadFor, type Signed, signed, type Signer } from '../support/signing.ts'
import { tarOf } from '../support/tars.ts'

let scratch: string
let registry: LoopbackRegistry
const isRoot = process.getuid?.() === 0
const ours = newSigner()
const others = newSigner()
const rsa = newSigner('rsa')
const p384 = newSigner('secp384r1')
const ed25519 = newSigner('ed25519')

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'strata-trust-'))
  registry = await startRegistry()
  await writeFile(join(scratch, 'ours.pub'), ours.publicKey)
  await writeFile(join(scratch, 'others.pub'), others.publicKey)
  await mkdir(join(scratch, 'registries.d'))
  await writeFile(join(scratch, 'registries.d/default.yaml'), 'default-docker:\n  use-sigstore-attachments: true\n')
})
after(async () => {
  await registry[Symbol.asyncDispose]()
  await rm(scratch, { recursive: true, force: true })
})

const LAYER = { tar: tarOf({ file: 'signed' }), compression: 'gzip' } as const

/** An image in a repository of its own. */
interface Subject {
  readonly crafter: ImageCrafter
  /** `127.0.0.1:5000/case-1/app` */
  readonly name: string
  readonly image: Descriptor
}

let subjects = 0
async function publish(): Promise<Subject> {
  subjects += 1
  const path = `case-${subjects}/app`
  const crafter = new ImageCrafter(registry.address, path)
  return { crafter, name: `${registry.address}/${path}`, image: await crafter.image('1', [LAYER]) }
}

let directories = 0
/** An engine whose user has this policy. */
async function engineWith(policy: unknown): Promise<{ readonly engine: Engine; readonly policyPath: string }> {
  directories += 1
  const userConfigDirectory = join(scratch, `config-${directories}`)
  const policyPath = join(userConfigDirectory, 'containers/policy.json')
  await mkdir(join(userConfigDirectory, 'containers'), { recursive: true })
  await writeFile(policyPath, typeof policy === 'string' ? policy : JSON.stringify(policy))
  const engine = await openEngine({
    fsync: false,
    root: join(scratch, `root-${directories}`),
    userConfigDirectory,
    systemDirectory: join(scratch, 'nothing'),
  })
  return { engine, policyPath }
}

/** Containers' own library, where scripts/signatureJudges.sh has built it: Debian's skopeo has it without sigstore. */
const policyJudge = await findProgram('policyJudge')

async function judgeAccepts(policyPath: string, reference: string): Promise<boolean> {
  const { code, stderr } = await runProgram(policyJudge!, [policyPath, join(scratch, 'registries.d'), `docker://${reference}`])
  assert.ok(code === 0 || code === 1, stderr)
  return code === 0
}

async function accepts(engine: Engine, reference: string): Promise<boolean> {
  try {
    await engine.pull(reference)
    return true
  } catch (error) {
    if (isStrataError(error) && error.code === 'STRATA_POLICY_REJECTED') return false
    throw error
  }
}

const byKey = (signer: Signer, signedIdentity?: object): object => ({
  type: 'sigstoreSigned',
  keyData: Buffer.from(signer.publicKey).toString('base64'),
  ...(signedIdentity === undefined ? {} : { signedIdentity }),
})

const byKeys = (signers: readonly Signer[]): object => ({
  type: 'sigstoreSigned',
  keyDatas: signers.map(({ publicKey }) => Buffer.from(publicKey).toString('base64')),
})

interface Case {
  readonly title: string
  readonly accepted: boolean
  /** What the repository has; default one signature by our key for the name that is pulled. */
  readonly signatures?: (subject: Subject) => readonly Signed[]
  /** Default: by our key. */
  readonly requirements?: (subject: Subject) => readonly object[]
  /** What is pulled; default `NAME:1`. */
  readonly pulled?: (subject: Subject) => string
}

const signedAs = (reference: string, { image }: Subject, signer: Signer = ours): readonly Signed[] => [
  signed(signer, payloadFor(image.digest, reference)),
]
const tampered = ({ payload, signature }: Signed): Signed => ({ payload: Buffer.from(payload.toString().replace('null', '{}')), signature })
const claim = (subject: Subject, change: (text: string) => string): readonly Signed[] => [
  signed(ours, Buffer.from(change(payloadFor(subject.image.digest, `${subject.name}:1`).toString()))),
]
const MATCH_REPOSITORY = { type: 'matchRepository' }
const identity =
  (signedIdentity: object): NonNullable<Case['requirements']> =>
  () => [byKey(ours, signedIdentity)]

/** Decisions on which containers' own library and Strata agree. */
const CASES: readonly Case[] = [
  { title: 'a signature by the key for this name', accepted: true },
  { title: 'no signature', accepted: false, signatures: () => [] },
  { title: 'a signature by another key', accepted: false, signatures: subject => signedAs(`${subject.name}:1`, subject, others) },
  {
    title: 'an RSA key',
    accepted: true,
    signatures: subject => signedAs(`${subject.name}:1`, subject, rsa),
    requirements: () => [byKey(rsa)],
  },
  {
    title: 'an ECDSA key on P-384',
    accepted: true,
    signatures: subject => signedAs(`${subject.name}:1`, subject, p384),
    requirements: () => [byKey(p384)],
  },
  {
    title: 'an Ed25519 key',
    accepted: true,
    signatures: subject => signedAs(`${subject.name}:1`, subject, ed25519),
    requirements: () => [byKey(ed25519)],
  },
  { title: 'one of several keys', accepted: true, requirements: () => [byKeys([others, ours])] },
  { title: 'none of several keys', accepted: false, requirements: () => [byKeys([others, rsa])] },
  {
    title: 'several key files',
    accepted: true,
    requirements: () => [{ type: 'sigstoreSigned', keyPaths: [join(scratch, 'others.pub'), join(scratch, 'ours.pub')] }],
  },
  {
    title: 'GPG, which Strata cannot check',
    accepted: false,
    requirements: () => [{ type: 'signedBy', keyType: 'GPGKeys', keyPath: join(scratch, 'ours.pub') }],
  },
  {
    title: 'Rekor, which Strata cannot check',
    accepted: false,
    requirements: () => [{ ...byKey(ours), rekorPublicKeyPath: join(scratch, 'ours.pub') }],
  },
  { title: 'the key in a file', accepted: true, requirements: () => [{ type: 'sigstoreSigned', keyPath: join(scratch, 'ours.pub') }] },
  {
    title: 'a payload for another manifest',
    accepted: false,
    signatures: ({ name, image }) => [
      signed(
        ours,
        payloadFor(
          image.digest.replace(/.$/, last => (last === '0' ? '1' : '0')),
          `${name}:1`,
        ),
      ),
    ],
  },
  { title: 'a payload that was changed', accepted: false, signatures: subject => signedAs(`${subject.name}:1`, subject).map(tampered) },
  {
    title: 'two signatures of which the second is good',
    accepted: true,
    signatures: subject => [...signedAs(`${subject.name}:1`, subject, others), ...signedAs(`${subject.name}:1`, subject)],
  },
  {
    title: 'two signatures of which none is good',
    accepted: false,
    signatures: subject => [...signedAs(`${subject.name}:1`, subject, others), ...signedAs(`${subject.name}:2`, subject)],
  },
  {
    title: 'two requirements, both fulfilled',
    accepted: true,
    requirements: () => [byKey(ours), byKey(others)],
    signatures: subject => [...signedAs(`${subject.name}:1`, subject, others), ...signedAs(`${subject.name}:1`, subject)],
  },
  { title: 'two requirements, one fulfilled', accepted: false, requirements: () => [byKey(ours), byKey(others)] },
  {
    title: 'acceptance of anything beside a signature that is missing',
    accepted: false,
    signatures: () => [],
    requirements: () => [{ type: 'insecureAcceptAnything' }, byKey(ours)],
  },
  { title: 'rejection', accepted: false, requirements: () => [{ type: 'reject' }] },
  { title: 'acceptance of anything', accepted: true, signatures: () => [], requirements: () => [{ type: 'insecureAcceptAnything' }] },

  { title: 'another tag than the signed one', accepted: false, signatures: subject => signedAs(`${subject.name}:2`, subject) },
  { title: 'only the repository signed', accepted: false, signatures: subject => signedAs(subject.name, subject) },
  { title: 'a digest, signed for a tag', accepted: true, pulled: ({ name, image }) => `${name}@${image.digest}` },
  {
    title: 'a digest, only the repository signed',
    accepted: false,
    pulled: ({ name, image }) => `${name}@${image.digest}`,
    signatures: subject => signedAs(subject.name, subject),
  },
  {
    title: 'a digest, signed for another repository',
    accepted: false,
    pulled: ({ name, image }) => `${name}@${image.digest}`,
    signatures: subject => signedAs(`${subject.name}x:1`, subject),
  },
  {
    title: 'an identity that is no name',
    accepted: false,
    signatures: subject => signedAs('No Name', subject),
    requirements: identity(MATCH_REPOSITORY),
  },

  { title: 'matchExact', accepted: true, requirements: identity({ type: 'matchExact' }) },
  {
    title: 'matchExact and another tag',
    accepted: false,
    requirements: identity({ type: 'matchExact' }),
    signatures: subject => signedAs(`${subject.name}:2`, subject),
  },
  {
    title: 'matchExact and a digest',
    accepted: false,
    requirements: identity({ type: 'matchExact' }),
    pulled: ({ name, image }) => `${name}@${image.digest}`,
  },
  {
    title: 'matchRepository and another tag',
    accepted: true,
    requirements: identity(MATCH_REPOSITORY),
    signatures: subject => signedAs(`${subject.name}:2`, subject),
  },
  {
    title: 'matchRepository and no tag, as cosign signs',
    accepted: true,
    requirements: identity(MATCH_REPOSITORY),
    signatures: subject => signedAs(subject.name, subject),
  },
  {
    title: 'matchRepository and another repository',
    accepted: false,
    requirements: identity(MATCH_REPOSITORY),
    signatures: subject => signedAs(`${subject.name}/sub`, subject),
  },
  {
    title: 'exactReference',
    accepted: true,
    requirements: identity({ type: 'exactReference', dockerReference: 'busybox:1' }),
    signatures: subject => signedAs('docker.io/library/busybox:1', subject),
  },
  {
    title: 'exactReference and another tag',
    accepted: false,
    requirements: identity({ type: 'exactReference', dockerReference: 'busybox:1' }),
    signatures: subject => signedAs('busybox:2', subject),
  },
  {
    title: 'exactRepository',
    accepted: true,
    requirements: identity({ type: 'exactRepository', dockerRepository: 'vendor.example/app' }),
    signatures: subject => signedAs('vendor.example/app', subject),
  },
  {
    title: 'exactRepository and this one',
    accepted: false,
    requirements: identity({ type: 'exactRepository', dockerRepository: 'vendor.example/app' }),
  },
  {
    title: 'remapIdentity',
    accepted: true,
    requirements: () => [byKey(ours, { type: 'remapIdentity', prefix: registry.address, signedPrefix: 'vendor.example' })],
    signatures: subject => signedAs(`${subject.name.replace(registry.address, 'vendor.example')}:1`, subject),
  },
  {
    title: 'remapIdentity and the name that is pulled',
    accepted: false,
    requirements: () => [byKey(ours, { type: 'remapIdentity', prefix: registry.address, signedPrefix: 'vendor.example' })],
  },
  {
    title: 'remapIdentity of another prefix',
    accepted: true,
    requirements: ({ name }) => [byKey(ours, { type: 'remapIdentity', prefix: `${name}/x`, signedPrefix: 'vendor.example' })],
  },
  {
    title: 'remapIdentity of a prefix that ends within a word',
    accepted: true,
    requirements: ({ name }) => [byKey(ours, { type: 'remapIdentity', prefix: name.slice(0, -1), signedPrefix: 'vendor.example' })],
  },
  {
    title: 'remapIdentity of the repository and a digest',
    accepted: true,
    pulled: ({ name, image }) => `${name}@${image.digest}`,
    requirements: ({ name }) => [byKey(ours, { type: 'remapIdentity', prefix: name, signedPrefix: 'vendor.example/app' })],
    signatures: subject => signedAs('vendor.example/app:7', subject),
  },

  { title: 'a payload with something after it', accepted: false, signatures: subject => claim(subject, text => `${text}{}`) },
  { title: 'a payload with a space after it', accepted: true, signatures: subject => claim(subject, text => `${text} \n`) },
  {
    title: 'a payload with a name twice',
    accepted: false,
    signatures: subject => claim(subject, text => text.replace('"optional":null', '"optional":null,"optional":{}')),
  },
  {
    title: 'a payload with a nested name twice',
    accepted: false,
    signatures: subject => claim(subject, text => text.replace('"type"', '"type":"x","type"')),
  },
  {
    title: 'a payload with an unknown field',
    accepted: false,
    signatures: subject => claim(subject, text => text.replace('"optional"', '"other":1,"optional"')),
  },
  {
    title: 'a payload with an unknown critical field',
    accepted: false,
    signatures: subject => claim(subject, text => text.replace('"type"', '"other":1,"type"')),
  },
  {
    title: 'a payload with optional claims',
    accepted: true,
    signatures: subject => claim(subject, text => text.replace('null', '{"creator":"us","timestamp":1458239713,"other":[1]}')),
  },
  {
    title: 'a payload with a wrong optional claim',
    accepted: false,
    signatures: subject => claim(subject, text => text.replace('null', '{"timestamp":"now"}')),
  },
  {
    title: 'a payload without optional',
    accepted: false,
    signatures: subject => claim(subject, text => text.replace(',"optional":null', '')),
  },
  {
    title: 'a payload of another type',
    accepted: false,
    signatures: subject => claim(subject, text => text.replace('cosign container', 'atomic container')),
  },
  {
    title: 'a payload with a digest that is none',
    accepted: false,
    signatures: subject => claim(subject, text => text.replace('sha256:', 'sha256-')),
  },
]

for (const { title, accepted, signatures, requirements, pulled } of CASES) {
  test(`pull() ${accepted ? 'accepts' : 'rejects'}: ${title}`, async t => {
    const subject = await publish()
    const reference = pulled?.(subject) ?? `${subject.name}:1`
    const attached = signatures?.(subject) ?? signedAs(`${subject.name}:1`, subject)
    if (attached.length > 0) await attachByTag(subject.crafter, subject.image, attached)
    const scopes = { [subject.name]: requirements?.(subject) ?? [byKey(ours)] }
    const { engine, policyPath } = await engineWith({ default: [{ type: 'reject' }], transports: { docker: scopes } })
    await using _ = engine
    if (policyJudge === undefined) t.diagnostic('not compared with containers: no policyJudge in PATH')
    else assert.equal(await judgeAccepts(policyPath, reference), accepted, 'containers')
    assert.equal(await accepts(engine, reference), accepted, 'Strata')
    assert.equal((await engine.images({ all: true })).length, accepted ? 1 : 0, 'nothing is kept of what is rejected')
  })
}

const rejected = { kind: 'permissionDenied', code: 'STRATA_POLICY_REJECTED' }
const reject = [{ type: 'reject' }]
const acceptAll = [{ type: 'insecureAcceptAnything' }]

test('pull() says what is wrong with each signature, and with which part of the policy', async () => {
  const subject = await publish()
  await attachByTag(subject.crafter, subject.image, [
    ...signedAs(`${subject.name}:2`, subject),
    ...signedAs(`${subject.name}:1`, subject, others),
  ])
  const { engine, policyPath } = await engineWith({ default: reject, transports: { docker: { [registry.address]: [byKey(ours)] } } })
  await using _ = engine
  await assert.rejects(engine.pull(`${subject.name}:1`), error => {
    assert.ok(isStrataError(error, 'permissionDenied'))
    assert.equal(
      error.message.replaceAll(/sha256:[0-9a-f]{64}/g, 'DIGEST'),
      `Cannot use image "${subject.name}:1": the policy "${policyPath}" rejects it (scope "${registry.address}" of docker: no signature of it counts: ` +
        `signature DIGEST is for the name "${subject.name}:2", which matchRepoDigestOrExact does not accept; signature DIGEST is by another key)`,
    )
    return true
  })
})

test('pull() takes a signature that refers to the image, where the registry has no API for that', async () => {
  const subject = await publish()
  await attachAsReferrer(subject.crafter, subject.image, signedAs(`${subject.name}:1`, subject))
  const { engine } = await engineWith({ default: [byKey(ours)] })
  await using _ = engine
  assert.equal(await accepts(engine, `${subject.name}:1`), true)
})

test('pull() takes the signature of an index for each of its images, and that of an image', async () => {
  for (const onIndex of [true, false]) {
    const subject = await publish()
    const { crafter, name, image } = subject
    const other = await crafter.image(undefined, [LAYER], { architecture: 'arm64' })
    const index = await crafter.index('all', { amd64: image, arm64: other })
    const signedOne = onIndex ? index : image
    await attachByTag(crafter, signedOne, [signed(ours, payloadFor(signedOne.digest, `${name}:all`))])
    const { engine } = await engineWith({ default: [byKey(ours)] })
    await using _ = engine
    await engine.pull(`${name}:all`, { platforms: ['linux/amd64'] })
    const ofOther = engine.pull(`${name}:all`, { platforms: ['linux/arm64'] })
    await (onIndex ? ofOther : assert.rejects(ofOther, rejected))
    const ofAll = engine.pull(`${name}:all`, { platforms: 'all' })
    await (onIndex ? ofAll : assert.rejects(ofAll, rejected))
  }
})

test('pull() goes by the digest of a name that has a tag, too', async () => {
  const subject = await publish()
  await attachByTag(subject.crafter, subject.image, signedAs(`${subject.name}:1`, subject))
  const { engine } = await engineWith({
    default: reject,
    transports: { docker: { [`${subject.name}@${subject.image.digest}`]: [byKey(ours)] } },
  })
  await using _ = engine
  assert.equal(await accepts(engine, `${subject.name}:of-no-weight@${subject.image.digest}`), true)
  assert.equal(await accepts(engine, `${subject.name}:1`), false)
})

test('pull() of all tags takes signatures along, and not for images of their own', async () => {
  const subject = await publish()
  await attachByTag(subject.crafter, subject.image, signedAs(`${subject.name}:1`, subject))
  const { engine } = await engineWith({ default: [byKey(ours)] })
  await using _ = engine
  const pulled = await engine.pull(subject.name, { allTags: true })
  assert.deepEqual(
    pulled.map(({ name }) => name),
    [`${subject.name}:1`],
  )
  assert.equal((await engine.referrers(`${subject.name}:1`)).length, 1)
})

test('pull() passes over a mirror that gives an image out that is not signed, and takes signatures from one that has them', async () => {
  const subject = await publish()
  const path = subject.name.slice(registry.address.length + 1)
  await attachByTag(subject.crafter, subject.image, signedAs(`${subject.name}:1`, subject))
  await using mirror = await startRegistry()
  const onMirror = new ImageCrafter(mirror.address, path)
  await onMirror.image('1', [{ tar: tarOf({ file: 'of the mirror' }), compression: 'gzip' }])
  const pulledDigest = async (): Promise<string | undefined> => {
    const { engine } = await engineWith({ default: [byKey(ours)] })
    await using _ = engine
    const conf = `[[registry]]\nlocation = "${registry.address}"\n[[registry.mirror]]\nlocation = "${mirror.address}"\n`
    await writeFile(join(scratch, `config-${directories}/containers/registries.conf`), conf)
    return (await engine.pull(`${subject.name}:1`))[0]?.manifestDigest
  }
  assert.equal(await pulledDigest(), subject.image.digest)
  // An older image that was signed for the same name is what no signature keeps a mirror from.
  const older = await onMirror.image('1', [{ tar: tarOf({ file: 'older' }), compression: 'gzip' }])
  await attachByTag(onMirror, older, [signed(ours, payloadFor(older.digest, `${subject.name}:1`))])
  assert.equal(await pulledDigest(), older.digest)
})

test('pull() rejects everything with a policy that is there and is none, and says where it is wrong', async () => {
  const { name } = await publish()
  const wrong: Readonly<Record<string, RegExp>> = {
    '': /policy\.json": it is not JSON$/,
    '{"default":[{"type":"insecureAcceptAnything"}],}': /policy\.json": it is not JSON \(line 1 column 48\)$/,
    '{"default":[{"type":"insecureAcceptAnything"}],"default":[{"type":"reject"}]}': /the name "default" stands twice in one object$/,
    '{"default":[{"type":"insecureAcceptAnything","x":1}]}': /: default\[0\] has the unknown field "x"$/,
    '{"transports":{}}': /: default is missing$/,
    '{"default":[]}': /: default is empty/,
  }
  for (const [text, message] of Object.entries(wrong)) {
    const { engine } = await engineWith(text)
    await using _ = engine
    await assert.rejects(engine.pull(`${name}:1`), { code: 'STRATA_POLICY_INVALID', message })
  }
})

test('pull() uses the policy of the user, then of the machine, and without one accepts everything', async () => {
  const { name } = await publish()
  const [user, system] = [join(scratch, 'places/user'), join(scratch, 'places/etc')]
  const pulls = async (): Promise<boolean> => {
    await using engine = await openEngine({
      fsync: false,
      root: join(scratch, 'places/root'),
      userConfigDirectory: user,
      systemDirectory: system,
    })
    return await accepts(engine, `${name}:1`)
  }
  const write = async (directory: string, requirements: object): Promise<void> => {
    await mkdir(join(directory, 'containers'), { recursive: true })
    await writeFile(join(directory, 'containers/policy.json'), JSON.stringify({ default: requirements }))
  }
  assert.equal(await pulls(), true)
  await write(system, reject)
  assert.equal(await pulls(), false)
  await write(user, acceptAll)
  assert.equal(await pulls(), true)
  await using engine = await openEngine({
    fsync: false,
    root: join(scratch, 'places/root'),
    userConfigDirectory: user,
    systemDirectory: system,
  })
  assert.equal((await engine.info()).SignaturePolicy, join(user, 'containers/policy.json'))
})

test('pull() rejects what is signed by a key whose file is gone, or is none', async () => {
  const { name } = await publish()
  await writeFile(join(scratch, 'none.pub'), 'no key')
  for (const [keyPath, code] of [
    ['gone.pub', 'STRATA_PUBLIC_KEY_UNREADABLE'],
    ['none.pub', 'STRATA_PUBLIC_KEY_INVALID'],
  ] as const) {
    const { engine } = await engineWith({ default: [{ type: 'sigstoreSigned', keyPath: join(scratch, keyPath) }] })
    await using _ = engine
    await assert.rejects(engine.pull(`${name}:1`), { code, message: new RegExp(keyPath) })
  }
})

test('load() and import() ask the policy about archives', async () => {
  const { name } = await publish()
  const archive = join(scratch, 'archive.tar')
  {
    await using engine = await openEngine({
      fsync: false,
      root: join(scratch, 'saving'),
      userConfigDirectory: scratch,
      systemDirectory: scratch,
    })
    await engine.pull(`${name}:1`)
    await writeFile(archive, await engine.save([`${name}:1`], { format: 'oci' }))
  }
  const cases = [
    [{ 'oci-archive': { '': acceptAll } }, true, false],
    [{ 'oci-archive': { [archive]: acceptAll } }, true, false],
    [{ 'oci-archive': { [scratch]: acceptAll } }, true, false],
    [{ 'oci-archive': { '/elsewhere': acceptAll }, tarball: { '': acceptAll } }, false, true],
  ] as const
  for (const [transports, loads, imports] of cases) {
    const { engine } = await engineWith({ default: reject, transports })
    await using _ = engine
    await (loads ? engine.load(archive) : assert.rejects(engine.load(archive), rejected))
    const tar = join(scratch, 'tree.tar')
    await writeFile(tar, LAYER.tar)
    await (imports ? engine.import(tar) : assert.rejects(engine.import(tar), rejected))
  }
})

describe('an image that is here', { skip: isRoot ? false : 'making a container needs root' }, () => {
  /** The same store under one policy after the other. */
  async function makesContainer(root: string, image: string, policy: unknown, registriesConf = ''): Promise<boolean> {
    directories += 1
    const userConfigDirectory = join(scratch, `config-${directories}`)
    await mkdir(join(userConfigDirectory, 'containers'), { recursive: true })
    await writeFile(join(userConfigDirectory, 'containers/policy.json'), JSON.stringify(policy))
    await writeFile(join(userConfigDirectory, 'containers/registries.conf'), registriesConf)
    await using engine = await openEngine({
      fsync: false,
      root,
      storageDriver: 'vfs',
      userConfigDirectory,
      systemDirectory: join(scratch, 'nothing'),
    })
    try {
      await engine.create({ image, command: ['true'], pull: 'never' })
      return true
    } catch (error) {
      if (isStrataError(error) && error.code === 'STRATA_POLICY_REJECTED') return false
      throw error
    }
  }

  async function pulledUnder(policy: object, reference: string): Promise<string> {
    const { engine } = await engineWith(policy)
    await using _ = engine
    await engine.pull(reference)
    return join(scratch, `root-${directories}`)
  }

  test('create() checks an image again by the signatures that came with it, which a prune leaves', async () => {
    const subject = await publish()
    await attachByTag(subject.crafter, subject.image, signedAs(`${subject.name}:1`, subject))
    const root = await pulledUnder({ default: [byKey(ours)] }, `${subject.name}:1`)
    assert.equal(await makesContainer(root, `${subject.name}:1`, { default: [byKey(ours)] }), true)
    assert.equal(await makesContainer(root, `${subject.name}:1`, { default: [byKey(others)] }), false)
    assert.equal(await makesContainer(root, `${subject.name}:1`, { default: reject }), false)
    await using engine = await openEngine({
      fsync: false,
      root,
      storageDriver: 'vfs',
      userConfigDirectory: scratch,
      systemDirectory: scratch,
    })
    await engine.pruneImages()
    assert.equal(await makesContainer(root, `${subject.name}:1`, { default: [byKey(ours)] }), true)
  })

  test('create() rejects an image that was signed after it came, until it is pulled again', async () => {
    const subject = await publish()
    const root = await pulledUnder({ default: acceptAll }, `${subject.name}:1`)
    await attachByTag(subject.crafter, subject.image, signedAs(`${subject.name}:1`, subject))
    assert.equal(await makesContainer(root, `${subject.name}:1`, { default: [byKey(ours)] }), false)
    const userConfigDirectory = join(scratch, `config-${directories}`)
    await using engine = await openEngine({ fsync: false, root, storageDriver: 'vfs', userConfigDirectory, systemDirectory: scratch })
    await engine.pull(`${subject.name}:1`)
    assert.equal(await makesContainer(root, `${subject.name}:1`, { default: [byKey(ours)] }), true)
  })

  test('create() has the signature that counted, however much else is said about the image', async () => {
    const { crafter, name, image } = await publish()
    await attachByTag(crafter, image, [signed(ours, payloadFor(image.digest, `${name}:1`))])
    const config = await crafter.blob('application/vnd.oci.empty.v1+json', Buffer.from('{}'))
    const said = Array.from({ length: 65 }, (_, at) => ({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.manifest,
      artifactType: 'text/x',
      config,
      layers: [],
      subject: image,
      annotations: { at: String(at) },
    }))
    const manifests: object[] = []
    for (const each of said) manifests.push({ ...(await crafter.manifest(undefined, each)), artifactType: 'text/x' })
    await crafter.manifest(image.digest.replace(':', '-'), { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests })
    const root = await pulledUnder({ default: [byKey(ours)] }, `${name}:1`)
    assert.equal(await makesContainer(root, `${name}:1`, { default: [byKey(ours)] }), true)
  })

  test('create() takes signatures that were pulled by their tag', async () => {
    const subject = await publish()
    const root = await pulledUnder({ default: acceptAll }, `${subject.name}:1`)
    await attachByTag(subject.crafter, subject.image, signedAs(`${subject.name}:1`, subject))
    {
      await using engine = await openEngine({
        fsync: false,
        root,
        storageDriver: 'vfs',
        userConfigDirectory: scratch,
        systemDirectory: scratch,
      })
      await engine.pull(`${subject.name}:${subject.image.digest.replace(':', '-')}.sig`)
    }
    assert.equal(await makesContainer(root, `${subject.name}:1`, { default: [byKey(ours)] }), true)
    assert.equal(await makesContainer(root, `${subject.name}:1`, { default: [byKey(others)] }), false)
  })

  test('create() knows an index by whose signature its image was taken', async () => {
    const { crafter, name, image } = await publish()
    const index = await crafter.index('all', { amd64: image })
    await attachByTag(crafter, index, [signed(ours, payloadFor(index.digest, `${name}:all`))])
    for (const platforms of [['linux/amd64'], 'all'] as const) {
      const { engine } = await engineWith({ default: [byKey(ours)] })
      const root = join(scratch, `root-${directories}`)
      {
        await using pulling = engine
        await pulling.pull(`${name}:all`, { platforms })
        await pulling.pruneImages()
      }
      assert.equal(await makesContainer(root, `${name}:all`, { default: [byKey(ours)] }), true)
      assert.equal(await makesContainer(root, `${name}:all`, { default: [byKey(others)] }), false)
    }
  })

  test('create() judges an image by the name under which it is meant, and one meant by its id by any of its names', async () => {
    const subject = await publish()
    const root = await pulledUnder({ default: acceptAll }, `${subject.name}:1`)
    await using engine = await openEngine({
      fsync: false,
      root,
      storageDriver: 'vfs',
      userConfigDirectory: scratch,
      systemDirectory: scratch,
    })
    await engine.tag(`${subject.name}:1`, 'trusted.example/app:1')
    const id = (await engine.inspectImage(`${subject.name}:1`)).Id
    const policy = (scope: string): object => ({ default: reject, transports: { docker: { [scope]: acceptAll } } })
    assert.equal(await makesContainer(root, 'trusted.example/app:1', policy('trusted.example')), true)
    assert.equal(await makesContainer(root, 'trusted.example/app:1', policy(registry.address)), false)
    assert.equal(await makesContainer(root, 'trusted.example/app:1', policy('*.example')), true)
    assert.equal(await makesContainer(root, `${subject.name}@${subject.image.digest}`, policy(subject.name)), true)
    assert.equal(await makesContainer(root, id, policy(subject.name)), true)
    assert.equal(await makesContainer(root, id, policy('elsewhere.example')), false)
    // A name of the trusted ones does not make it signed.
    assert.equal(
      await makesContainer(root, 'trusted.example/app:1', {
        default: acceptAll,
        transports: { docker: { 'trusted.example': [byKey(ours)] } },
      }),
      false,
    )
  })

  test('create() judges an image that is meant by an alias by its name', async () => {
    const subject = await publish()
    const root = await pulledUnder({ default: acceptAll }, `${subject.name}:1`)
    {
      await using engine = await openEngine({
        fsync: false,
        root,
        storageDriver: 'vfs',
        userConfigDirectory: scratch,
        systemDirectory: scratch,
      })
      await engine.tag(`${subject.name}:1`, 'trusted.example/app:1')
    }
    const policy = (scope: string): object => ({ default: reject, transports: { docker: { [scope]: acceptAll } } })
    const aliases = `[aliases]\n"shortened" = "${subject.name}"\n`
    assert.equal(await makesContainer(root, 'shortened:1', policy(subject.name), aliases), true)
    assert.equal(await makesContainer(root, 'shortened:1', policy('trusted.example'), aliases), false)
  })

  /** The store without a policy. */
  const anyhow = (root: string): Promise<Engine> =>
    openEngine({ fsync: false, root, storageDriver: 'vfs', userConfigDirectory: scratch, systemDirectory: scratch })

  test('create() knows that an image came from a registry, also when the name of that is gone', async () => {
    const subject = await publish()
    const root = await pulledUnder({ default: acceptAll }, `${subject.name}:1`)
    const policy = { default: acceptAll, transports: { docker: { 'prod.example': [byKey(ours)] } } }
    await using engine = await anyhow(root)
    await engine.tag(`${subject.name}:1`, 'prod.example/app:1')
    assert.equal(await makesContainer(root, 'prod.example/app:1', policy), false)
    await engine.removeImage(`${subject.name}@${subject.image.digest}`)
    assert.equal(await makesContainer(root, 'prod.example/app:1', policy), false, 'without its digest')
    await engine.removeImage(`${subject.name}:1`)
    assert.equal(await makesContainer(root, 'prod.example/app:1', policy), false, 'without its name')
  })

  test('create() knows that an image was copied from a registry, and the signatures that counted then', async () => {
    const subject = await publish()
    await attachByTag(subject.crafter, subject.image, signedAs(`${subject.name}:1`, subject))
    const { engine } = await engineWith({ default: [byKey(ours)] })
    const root = join(scratch, `root-${directories}`)
    {
      await using copying = engine
      await copying.copy(`docker://${subject.name}:1`, `strata:${subject.name}:1`)
      await copying.copy(`docker://${subject.name}:1`, 'strata:prod.example/app:1')
      await copying.pruneImages()
    }
    assert.equal(await makesContainer(root, `${subject.name}:1`, { default: [byKey(ours)] }), true)
    assert.equal(await makesContainer(root, `${subject.name}:1`, { default: [byKey(others)] }), false)
    const prod = { default: acceptAll, transports: { docker: { 'prod.example': [byKey(ours)] } } }
    assert.equal(await makesContainer(root, 'prod.example/app:1', prod), false)
  })

  test('create() knows that a client pushed what was no image until it was copied within the store', async () => {
    const root = join(scratch, 'pushed-here')
    await using engine = await anyhow(root)
    await using server = await engine.serve({ listen: ':0', writable: true })
    const crafter = new ImageCrafter(server.address, 'evil')
    const image = await crafter.image(undefined, [LAYER], { architecture: 's390x' })
    await crafter.index('1', { s390x: image })
    await engine.removeImage(`${server.address}/evil@${image.digest}`)
    await engine.copy(`strata:${server.address}/evil:1`, 'strata:prod.example/app:2', { platforms: ['linux/s390x'] })
    const prod = { default: acceptAll, transports: { docker: { 'prod.example': [byKey(ours)] } } }
    assert.equal(await makesContainer(root, 'prod.example/app:2', { default: acceptAll }), true)
    assert.equal(await makesContainer(root, 'prod.example/app:2', prod), false)
  })

  test('create() takes what was made here for that, also when it was pushed, and pulled again', async () => {
    const root = join(scratch, 'made-and-pushed')
    await using engine = await anyhow(root)
    const tar = join(scratch, 'made-and-pushed.tar')
    await writeFile(tar, LAYER.tar)
    const name = `${registry.address}/made/app:1`
    await engine.import(tar, { reference: name })
    await engine.push(name, { compression: 'none' })
    await engine.pull(name)
    assert.equal(await makesContainer(root, name, { default: reject }), true)
  })

  test('create() is not hindered by what other repositories say about an image', async () => {
    const subject = await publish()
    await attachAsReferrer(subject.crafter, subject.image, signedAs(`${subject.name}:1`, subject))
    const root = await pulledUnder({ default: [byKey(ours)] }, `${subject.name}:1`)
    await using engine = await anyhow(root)
    await using server = await engine.serve({ listen: ':0', writable: true })
    const evil = new ImageCrafter(server.address, 'evil')
    const config = await evil.blob(MEDIA_TYPES.empty, Buffer.from('{}'))
    // More than are looked at.
    for (let at = 0; at < 501; at += 1) {
      await evil.manifest(undefined, {
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.manifest,
        artifactType: 'application/vnd.dev.cosign.artifact.sig.v1+json',
        config,
        layers: [],
        annotations: { at: String(at) },
        subject: subject.image,
      })
    }
    assert.equal((await engine.referrers(`${subject.name}:1`)).length, 1)
    assert.equal(await makesContainer(root, `${subject.name}:1`, { default: [byKey(ours)] }), true)
    await engine.tag(`${subject.name}:1`, `${registry.address}/moved-${directories}:1`)
    await engine.push(`${registry.address}/moved-${directories}:1`)
    assert.equal((await engine.referrers(`${registry.address}/moved-${directories}:1`, { remote: true })).length, 1)
  })

  test('create() takes what was made here, unless the policy says something of containers-storage', async () => {
    const root = join(scratch, 'made')
    await using engine = await openEngine({
      fsync: false,
      root,
      storageDriver: 'vfs',
      userConfigDirectory: scratch,
      systemDirectory: scratch,
    })
    const tar = join(scratch, 'made.tar')
    await writeFile(tar, LAYER.tar)
    await engine.import(tar, { reference: 'made:1' })
    const storage = (scopes: object): object => ({ default: reject, transports: { 'containers-storage': scopes } })
    assert.equal(await makesContainer(root, 'made:1', { default: reject }), true)
    assert.equal(await makesContainer(root, 'made:1', storage({})), false)
    assert.equal(await makesContainer(root, 'made:1', storage({ '': acceptAll })), true)
    assert.equal(await makesContainer(root, 'made:1', storage({ [`[vfs@${root}]docker.io/library/made`]: acceptAll })), true)
    assert.equal(await makesContainer(root, 'made:1', storage({ [`[vfs@${root}]docker.io/library/other`]: acceptAll })), false)
    assert.equal(await makesContainer(root, 'made:1', storage({ [`[${root}]`]: [byKey(ours)], '': acceptAll })), false)
  })
})
