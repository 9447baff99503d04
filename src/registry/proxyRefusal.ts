import { StrataError } from '../base/index.ts'

/** A proxy does not let us through, and answers itself. */
export class ProxyRefusal extends Error {
  readonly status: number

  constructor(status: number) {
    super(`it answers ${status}`)
    this.status = status
  }
}

/** What a proxy answers to who says too little of itself. RFC 9110 section 15.5.8 */
export const PROXY_AUTHENTICATION_REQUIRED = 407

/** A refusal that stays one; undefined for one that may pass, such as of a proxy that does not reach the host now. */
export function refusedByProxy(action: string, cause: unknown): StrataError | undefined {
  if (!(cause instanceof ProxyRefusal) || cause.status >= 500) return undefined
  const hint =
    cause.status === PROXY_AUTHENTICATION_REQUIRED
      ? 'It wants a user name and a password, or others: http://NAME:PASSWORD@HOST:PORT in $HTTPS_PROXY or $HTTP_PROXY.'
      : 'Name hosts that are reached without it in $NO_PROXY.'
  return new StrataError('unavailable', 'STRATA_PROXY_REFUSED', `Cannot ${action}: ${cause.message}`, { cause, hint })
}
