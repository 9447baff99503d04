import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { findProgram, isStrataError, runProgram } from '../../src/base/index.ts'
import { type Engine, openEngine } from '../../src/engine/index.ts'
import type { Descriptor } from '../../src/oci/index.ts'
import { ImageCrafter } from '../support/craftedImages.ts'
import { type LoopbackRegistry, startRegistry } from '../support/loopbackRegistry.ts'
import { attachByTag, newSigner, payloadFor, type Signed, signed, type Signer } from '../support/signing.ts'
import { tarOf } from '../support/tars.ts'

let scratch: string
let registry: LoopbackRegistry
const ours = newSigner()
const others = newSigner()
const rsa = newSigner('rsa')

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'strata-trust-'))
  registry = await startRegistry()
  await writeFile(join(scratch, 'ours.pub'), ours.publicKey)
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
