import { type ErrorKind, isStrataError } from '../base/index.ts'

/** The codes that an answer may carry, with the status of each. distribution-spec "Error Codes" and "Endpoints" */
const STATUSES = {
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_INVALID: 400,
  BLOB_UPLOAD_UNKNOWN: 404,
  DIGEST_INVALID: 400,
  MANIFEST_BLOB_UNKNOWN: 404,
  MANIFEST_INVALID: 400,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  SIZE_INVALID: 400,
  UNAUTHORIZED: 401,
  DENIED: 403,
  UNSUPPORTED: 405,
  TOOMANYREQUESTS: 429,
} as const

export type RegistryErrorCode = keyof typeof STATUSES

interface RegistryErrorDetails {
  /** Where it is not the code's usual one. */
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly detail?: unknown
}

/** What a client is told. Its text is for strangers: nothing of this machine is in it. */
export class RegistryError extends Error {
  readonly code: RegistryErrorCode
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly detail: unknown

  constructor(code: RegistryErrorCode, message: string, { status, headers = {}, detail }: RegistryErrorDetails = {}) {
    super(message)
    this.name = 'RegistryError'
    this.code = code
    this.status = status ?? STATUSES[code]
    this.headers = headers
    this.detail = detail
  }
}

/** What becomes of an error that no handler has turned into an answer: a fault of ours, or of the upstream registry. */
const FAULTS = {
  notFound: [404, 'it is not here any more'],
  alreadyExists: [409, 'somebody else was faster'],
  conflict: [409, 'it was changed meanwhile; try again'],
  invalidArgument: [400, 'it is not valid'],
  permissionDenied: [500, 'the registry may not use its own store'],
  unauthorized: [502, 'the upstream registry wants other credentials'],
  unsupported: [400, 'it is of a kind that is not supported'],
  unavailable: [503, 'it cannot be had at the moment; try again later'],
  resourceExhausted: [507, 'the registry has no room for it'],
  dataLoss: [500, 'it is damaged in the registry'],
  cancelled: [503, 'the registry is going down'],
  internal: [500, 'the registry has failed'],
} as const satisfies Record<ErrorKind, readonly [number, string]>

/** The answer to a request that failed: status, headers and body. */
export interface ErrorAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** Whether it is no fault of the client's, and so the log's business. */
  readonly isFault: boolean
}

/** The one place where errors become answers. */
export function errorAnswer(error: unknown): ErrorAnswer {
  if (error instanceof RegistryError) {
    const { code, message, status, headers, detail } = error
    return { status, headers, body: bodyOf({ code, message, ...(detail === undefined ? {} : { detail }) }), isFault: false }
  }
  const [status, message] = FAULTS[isStrataError(error) ? error.kind : 'internal']
  return { status, headers: {}, body: bodyOf({ code: 'UNKNOWN', message }), isFault: status >= 500 }
}

const bodyOf = (error: object): string => JSON.stringify({ errors: [error] })
