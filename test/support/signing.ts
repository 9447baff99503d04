import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { type Descriptor, MEDIA_TYPES } from '../../src/oci/index.ts'
import type { ImageCrafter } from './craftedImages.ts'

/** Who signs, as cosign does by key. */
export interface Signer {
  /** The public key in PEM. */
  readonly publicKey: string
  /** Base64. */
  sign(payload: Uint8Array): string
}

export interface Signed {
  readonly payload: Buffer
  readonly signature: string
}

const PAYLOAD_TYPE = 'application/vnd.dev.cosign.simplesigning.v1+json'
const ARTIFACT_TYPE = 'application/vnd.dev.cosign.artifact.sig.v1+json'

/** @param kind of key: `prime256v1`, `secp384r1`, `rsa`, `ed25519` */
export function newSigner(kind = 'prime256v1', rsaBits = 2048): Signer {
  const { privateKey, publicKey } = newPair(kind, rsaBits)
  return {
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }) as string,
    sign: payload => sign(kind === 'ed25519' ? null : 'sha256', payload, privateKey).toString('base64'),
  }
}

function newPair(kind: string, rsaBits: number): { readonly privateKey: KeyObject; readonly publicKey: KeyObject } {
  if (kind === 'ed25519') return generateKeyPairSync('ed25519')
  return kind === 'rsa' ? generateKeyPairSync('rsa', { modulusLength: rsaBits }) : generateKeyPairSync('ec', { namedCurve: kind })
}

/** What cosign signs. */
export function payloadFor(digest: string, reference: string): Buffer {
  return Buffer.from(
    JSON.stringify({
      critical: {
        identity: { 'docker-reference': reference },
        image: { 'docker-manifest-digest': digest },
        type: 'cosign container image signature',
      },
      optional: null,
    }),
  )
}

export function signed(signer: Signer, payload: Buffer): Signed {
  return { payload, signature: signer.sign(payload) }
}

/** Pushes signatures below the tag where cosign has them, in one manifest. */
export async function attachByTag(crafter: ImageCrafter, subject: Descriptor, signatures: readonly Signed[]): Promise<Descriptor> {
  return crafter.manifest(`${subject.digest.replace(':', '-')}.sig`, await manifestOf(crafter, signatures))
}

/** Pushes one as a referrer, with the tag that clients keep where the registry has no API for them. */
export async function attachAsReferrer(crafter: ImageCrafter, subject: Descriptor, signatures: readonly Signed[]): Promise<Descriptor> {
  const manifest = await crafter.manifest(undefined, { ...(await manifestOf(crafter, signatures)), artifactType: ARTIFACT_TYPE, subject })
  const entry = { ...manifest, artifactType: ARTIFACT_TYPE }
  await crafter.manifest(subject.digest.replace(':', '-'), { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: [entry] })
  return manifest
}

async function manifestOf(
  crafter: ImageCrafter,
  signatures: readonly Signed[],
): Promise<{ readonly mediaType: string } & Readonly<Record<string, unknown>>> {
  const layers: Descriptor[] = []
  for (const { payload, signature } of signatures) {
    const blob = await crafter.blob(PAYLOAD_TYPE, payload)
    layers.push({ ...blob, annotations: { 'dev.cosignproject.cosign/signature': signature } })
  }
  const config = await crafter.blob(MEDIA_TYPES.config, Buffer.from('{"architecture":"","os":"","rootfs":{"type":"layers","diff_ids":[]}}'))
  return { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers }
}
