import { StrataError } from '../base/index.ts'
import type { Installation } from './installation.ts'
import type { ContainerOptions } from './options.ts'
import type { ContainerRecord } from './record.ts'

const UNITS: Readonly<Record<string, number>> = { b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 }

/** Where a container's output is kept; undefined with the log driver `none`. */
export function logFile(
  installation: Installation,
  { id, definition }: ContainerRecord,
): { readonly path: string; readonly maxBytes?: number } | undefined {
  const { driver, options = {} } = definition.options.log ?? {}
  if (driver === 'none') return undefined
  const size = options['max-size']
  return { path: installation.paths.log(id), ...(size === undefined || size === '-1' ? {} : { maxBytes: parseSize(size) }) }
}

/** Docker's default driver, whose options make sense here, or none. Throws for other drivers and options that are none. */
export function checkLog({ log }: ContainerOptions): void {
  const { driver = '', options = {} } = log ?? {}
  if (!['', 'json-file', 'local', 'k8s-file', 'none'].includes(driver)) {
    throw new StrataError('unsupported', 'STRATA_NO_LOG_DRIVER', `Cannot use log driver "${driver}": there are json-file, local and none`)
  }
  if (options['max-size'] !== undefined && options['max-size'] !== '-1') parseSize(options['max-size'])
}

function parseSize(text: string): number {
  const [, number, unit = 'b'] = /^(\d{1,15})([bkmg])?b?$/i.exec(text) ?? []
  if (number !== undefined) return Number(number) * UNITS[unit.toLowerCase()]!
  throw new StrataError(
    'invalidArgument',
    'STRATA_INVALID_LOG_OPTION',
    `Cannot use log option "max-size=${text}": expected a size such as 10m`,
  )
}
