import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { must } from './commands.ts'

/** PEM files. */
export interface KeyPair {
  readonly certificate: string
  readonly key: string
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

/** Makes an authority that nobody knows, with openssl. */
export async function makeAuthority(directory: string, name: string): Promise<KeyPair> {
  const pair = pairOf(directory, name)
  await must('openssl', 'req', '-x509', ...KEY, '-keyout', pair.key, '-out', pair.certificate, '-days', '2', '-subj', `/CN=${name}`)
  return pair
}

/** Makes a certificate that an authority signs, for some names: `DNS:registry.test`, `IP:127.0.0.1`. */
export async function makeCertificate(
  directory: string,
  name: string,
  { authority, names }: { readonly authority: KeyPair; readonly names: readonly string[] },
): Promise<KeyPair> {
  const pair = pairOf(directory, name)
  const [request, extensions] = [join(directory, `${name}.csr`), join(directory, `${name}.ext`)]
  await writeFile(extensions, `subjectAltName=${names.join(',')}\n`)
  await must('openssl', 'req', ...KEY, '-keyout', pair.key, '-out', request, '-subj', `/CN=${name}`)
  const signer = ['-CA', authority.certificate, '-CAkey', authority.key, '-CAcreateserial']
  await must('openssl', 'x509', '-req', '-in', request, ...signer, '-out', pair.certificate, '-days', '2', '-extfile', extensions)
  return pair
}

const pairOf = (directory: string, name: string): KeyPair => ({
  certificate: join(directory, `${name}.pem`),
  key: join(directory, `${name}.key`),
})
