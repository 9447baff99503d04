import { type DiffId, parseDiffId } from './digest.ts'
import { type DocumentKind, type Fields, readDocument } from './document.ts'
import { LIMITS } from './limits.ts'

/** What a container of the image runs, unless told otherwise. JSON names as on the wire. image-spec config.md#properties */
export interface ProcessConfig {
  readonly User?: string
  readonly ExposedPorts?: Readonly<Record<string, object>>
  readonly Env?: readonly string[]
  readonly Entrypoint?: readonly string[]
  readonly Cmd?: readonly string[]
  readonly Volumes?: Readonly<Record<string, object>>
  readonly WorkingDir?: string
  readonly Labels?: Readonly<Record<string, string>>
  readonly StopSignal?: string
  readonly ArgsEscaped?: boolean
  readonly Healthcheck?: Healthcheck
  readonly Shell?: readonly string[]
  readonly OnBuild?: readonly string[]
}

/** Docker's health check; times in nanoseconds. */
export interface Healthcheck {
  readonly Test?: readonly string[]
  readonly Interval?: number
  readonly Timeout?: number
  readonly StartPeriod?: number
  readonly StartInterval?: number
  readonly Retries?: number
}

/** How one layer, or one step without a layer, came about. */
export interface History {
  readonly created?: string
  readonly created_by?: string
  readonly author?: string
  readonly comment?: string
  readonly empty_layer?: boolean
}

/** The JSON with platform, process, layers and history of an image. Unknown fields are kept. image-spec config.md */
export interface ImageConfig {
  readonly created?: string
  readonly author?: string
  readonly architecture: string
  readonly variant?: string
  readonly os: string
  readonly 'os.version'?: string
  readonly 'os.features'?: readonly string[]
  readonly config?: ProcessConfig
  /** DiffIds, base first. */
  readonly rootfs: { readonly type: 'layers'; readonly diff_ids: readonly DiffId[] }
  /** Oldest first. */
  readonly history?: readonly History[]
}

const CONFIG: DocumentKind = { name: 'image config', code: 'STRATA_IMAGE_CONFIG_INVALID', maxBytes: LIMITS.configBytes }

/** History entries have no layer each: ten steps for every layer there may be. */
const MAX_HISTORY = 10 * LIMITS.layers

/**
 * Reads an image config (OCI or Docker). A field that is null is left out of the result, unknown fields stay.
 *
 * @throws StrataError STRATA_IMAGE_CONFIG_INVALID
 */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  const fields = readDocument(bytes, CONFIG)
  const config = fields.object('config')
  return fields.with<ImageConfig>({
    created: fields.dateTime('created'),
    author: fields.string('author'),
    architecture: fields.require('architecture', fields.string('architecture')),
    variant: fields.string('variant'),
    os: fields.require('os', fields.string('os')),
    'os.version': fields.string('os.version'),
    'os.features': fields.strings('os.features'),
    config: config === undefined ? undefined : decodeProcess(config),
    rootfs: decodeRootfs(fields.require('rootfs', fields.object('rootfs'))),
    history: fields.objects('history', MAX_HISTORY)?.map(decodeHistory),
  })
}

function decodeProcess(fields: Fields): ProcessConfig {
  const health = fields.object('Healthcheck')
  return fields.with<ProcessConfig>({
    User: kernelText(fields, 'User'),
    ExposedPorts: fields.set('ExposedPorts'),
    Env: kernelTexts(fields, 'Env'),
    Entrypoint: commandLine(fields, 'Entrypoint'),
    Cmd: commandLine(fields, 'Cmd'),
    Volumes: fields.set('Volumes'),
    WorkingDir: kernelText(fields, 'WorkingDir'),
    Labels: fields.stringMap('Labels'),
    StopSignal: fields.string('StopSignal'),
    ArgsEscaped: fields.boolean('ArgsEscaped'),
    Healthcheck: health === undefined ? undefined : decodeHealthcheck(health),
    Shell: commandLine(fields, 'Shell'),
    OnBuild: fields.strings('OnBuild'),
  })
}

function decodeHealthcheck(fields: Fields): Healthcheck {
  return fields.with<Healthcheck>({
    Test: kernelTexts(fields, 'Test'),
    Interval: fields.integer('Interval'),
    Timeout: fields.integer('Timeout'),
    StartPeriod: fields.integer('StartPeriod'),
    StartInterval: fields.integer('StartInterval'),
    Retries: fields.integer('Retries'),
  })
}

function decodeRootfs(fields: Fields): ImageConfig['rootfs'] {
  if (fields.string('type') !== 'layers') throw fields.error('type', 'is not "layers"')
  // Docker leaves the list out of an image without layers.
  const diffIds = fields.strings('diff_ids') ?? []
  if (diffIds.length > LIMITS.layers) throw fields.error('diff_ids', `has ${diffIds.length} elements, more than ${LIMITS.layers}`)
  return fields.with<ImageConfig['rootfs']>({
    type: 'layers',
    diff_ids: diffIds.map((text, at) => {
      try {
        return parseDiffId(text)
      } catch {
        throw fields.error(`diff_ids[${at}]`, 'is not sha256:<64 lower-case hex>')
      }
    }),
  })
}

function decodeHistory(fields: Fields): History {
  return fields.with<History>({
    created: fields.dateTime('created'),
    created_by: fields.string('created_by'),
    author: fields.string('author'),
    comment: fields.string('comment'),
    empty_layer: fields.boolean('empty_layer'),
  })
}

/** Text that is handed to the kernel, where NUL ends a string: what is checked must be what is used. */
function kernelText(fields: Fields, name: string): string | undefined {
  const text = fields.string(name)
  if (text?.includes('\0') === true) throw fields.error(name, 'has a NUL character')
  return text
}

function kernelTexts(fields: Fields, name: string): readonly string[] | undefined {
  return withoutNul(fields, name, fields.strings(name))
}

/** A command line. Docker's oldest configs write one word as the text alone. */
function commandLine(fields: Fields, name: string): readonly string[] | undefined {
  return withoutNul(fields, name, fields.stringOrStrings(name))
}

function withoutNul(fields: Fields, name: string, texts: readonly string[] | undefined): readonly string[] | undefined {
  if (texts?.some(text => text.includes('\0')) === true) throw fields.error(name, 'has a NUL character')
  return texts
}
