/** Who may be trusted with what: containers' policy.json, and signatures in cosign's format. Bytes and values; no disk, no network. */
export { evaluateRequirements, type Signature, type SignedImage } from './evaluate.ts'
export { parsePolicy, requirementsFor } from './policy.ts'
export type { ImagePlace } from './scopes.ts'
export { MAX_PAYLOAD_BYTES } from './simpleSigning.ts'
export { isBundle, maySign, type SignatureLayer, signatureLayers, signatureTag } from './signatureManifest.ts'
