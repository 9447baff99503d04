import { readFile } from 'node:fs/promises'
import { isStrataError, StrataError, systemError } from '../base/index.ts'

/** The two files, PEM, by which we say who we are; one file may have both. */
export interface ClientCertificate {
  readonly certificate: string
  readonly key: string
}

/** By what we know a host, and it us. */
export interface Trust {
  /** Paths of PEM files with authorities that count beside the public ones and the system's. */
  readonly authorities: readonly string[]
  readonly clients: readonly ClientCertificate[]
  /** Whether anybody may pass for the host. */
  readonly skipVerify: boolean
}

export const PUBLIC_TRUST: Trust = { authorities: [], clients: [], skipVerify: false }

/** A certificate and its chain, or a bundle of all authorities that there are. */
const MAX_PEM_BYTES = 4 * 1024 * 1024

/** What TLS needs of a trust, read. */
export interface TrustedKeys {
  readonly authorities: readonly string[]
  readonly certificates: readonly string[]
  readonly keys: readonly string[]
}

/** Rejects when a file cannot be read, or has more than 4 MiB. */
export async function readTrust({ authorities, clients }: Trust): Promise<TrustedKeys> {
  return {
    authorities: await Promise.all(authorities.map(readPem)),
    certificates: await Promise.all(clients.map(({ certificate }) => readPem(certificate))),
    keys: await Promise.all(clients.map(({ key }) => readPem(key))),
  }
}

async function readPem(path: string): Promise<string> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw systemError(`read the certificate "${path}"`, error)
  })
  if (bytes.length > MAX_PEM_BYTES || !bytes.includes('-----BEGIN '))
    throw new StrataError('invalidArgument', 'STRATA_CERTIFICATE_INVALID', `Cannot use the certificate "${path}": it is not PEM`)
  return bytes.toString('latin1')
}

/** What OpenSSL says of a chain that ends in no authority that it was given. */
const UNKNOWN_AUTHORITY: ReadonlySet<string> = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
])

export const isUnknownAuthority = (cause: unknown): boolean => UNKNOWN_AUTHORITY.has(codeOf(cause))

const STATES: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
  CERT_REVOKED: 'its certificate is revoked',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
  CERT_SIGNATURE_FAILURE: 'its certificate is not signed by whom it says',
}

/** What TLS alerts say where a certificate of ours is wanted. RFC 8446 section 6.2 */
const CLIENT_ALERTS = /certificate.required|bad.certificate|unknown.ca|handshake.failure/i

/** The reason in what OpenSSL says of a connection: `error:0A00010B:SSL routines:tls_validate_record_header:wrong version number:…`. */
const TLS_FAULT = /:SSL routines:[^:\n]*:([^:\n]+)/
/** What OpenSSL calls the bytes of those who speak something else. */
const NO_TLS: ReadonlySet<string> = new Set(['wrong version number', 'packet length too long', 'record layer failure', 'http request'])

const NO_TLS_CODE = 'STRATA_REGISTRY_NO_TLS'

export const speaksNoTls = (error: unknown): boolean => isStrataError(error) && error.code === NO_TLS_CODE

/** What is wrong between a host and us, where it is about TLS and certificates; in our words, since Node's advice is about Node. */
export function trustError({ host }: URL, cause: unknown): StrataError | undefined {
  const code = codeOf(cause)
  const refused = (state: string, hint: string): StrataError =>
    new StrataError('unavailable', 'STRATA_REGISTRY_UNTRUSTED', `Cannot reach registry "${host}": ${state}`, { cause, hint })
  if (UNKNOWN_AUTHORITY.has(code)) {
    return refused(
      'its certificate is signed by nobody who is known here',
      `Put the authority's certificate into /etc/containers/certs.d/${host}/ca.crt, or among the system's.`,
    )
  }
  const state = STATES[code]
  if (state !== undefined) return refused(state, 'Check the address and the clock; the registry has to renew a wrong certificate.')
  if (/^ERR_SSL_.*ALERT/.test(code) && CLIENT_ALERTS.test(code)) {
    return refused(
      'it does not take us without a client certificate, or with this one',
      `Put the certificate and its key into /etc/containers/certs.d/${host}/ as client.cert and client.key.`,
    )
  }
  const fault = TLS_FAULT.exec(messageOf(cause))?.[1]
  if (fault !== undefined && NO_TLS.has(fault)) {
    return new StrataError('unavailable', NO_TLS_CODE, `Cannot reach registry "${host}": it does not speak TLS`, {
      cause,
      hint: 'If it may be used without, set "insecure = true" for it in registries.conf, or name it in "insecure-registries" of daemon.json.',
    })
  }
  return fault === undefined ? undefined : refused(`TLS fails (${fault})`, 'Check the address and the port.')
}

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : '')

const codeOf = (cause: unknown): string => (cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : '')
