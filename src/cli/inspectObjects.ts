import { isStrataError } from '../base/index.ts'
import { withoutPassword } from '../oci/index.ts'
import type { Invocation } from './invocation.ts'
import { type OptionSpec, text } from './options.ts'
import type { Shape } from './template/index.ts'

/**
 * What Go's types say of the objects that `inspect` shows, and their JSON does not: which fields may
 * be absent, and what that, or a null, stands for.
 */
const INSPECT_SHAPE: Shape = {
  optional: new Set([
    ...['Health', 'Healthcheck', 'Test', 'SizeRw', 'SizeRootFs', 'ExposedPorts', 'StopTimeout', 'Shell', 'OnBuild', 'Volumes', 'Labels'],
    ...['Entrypoint', 'Cmd', 'Env', 'Annotations', 'StorageOpt', 'Tmpfs', 'Sysctls', 'Init', 'Mounts', 'Descriptor', 'UsageData'],
  ]),
  zeros: new Map<string, string | number | boolean>([
    ...['User', 'WorkingDir', 'StopSignal', 'Variant', 'OsVersion', 'Created', 'Name', 'Driver'].map(name => [name, ''] as const),
    ...['Subnet', 'Gateway', 'IPRange', 'IPv4Address', 'IPv6Address'].map(name => [name, ''] as const),
    ...['Interval', 'Timeout', 'Retries', 'StartPeriod', 'StartInterval'].map(name => [name, 0] as const),
    ...['ArgsEscaped', 'NetworkDisabled'].map(name => [name, false] as const),
  ]),
  maps: new Set([
    'Labels',
    'Volumes',
    'Data',
    'Options',
    'DriverOpts',
    'Annotations',
    'Sysctls',
    'StorageOpt',
    'Tmpfs',
    'ExposedPorts',
    'Ports',
  ]),
  pointers: new Set([
    'Health',
    'Healthcheck',
    'PidsLimit',
    'MemorySwappiness',
    'Init',
    'IPAMConfig',
    'SizeRw',
    'SizeRootFs',
    'StopTimeout',
    'UsageData',
    'Descriptor',
  ]),
}

export const inspectFormatOption = (): OptionSpec<string | undefined> =>
  text("Format output using a custom template:\n'json': one JSON object a line\n'TEMPLATE': the given Go template", { short: 'f' })

/** Docker's words for an object that is not there: `No such object: x`. */
export type ObjectKind = 'object' | 'image' | 'container' | 'volume' | 'network'

/**
 * Shows objects as docker's `inspect` does: an indented JSON array, or a line each by `format`. What
 * is not there is told on stderr after what is; then the exit code is 1.
 */
export async function inspectObjects(
  invocation: Invocation,
  names: readonly string[],
  find: (name: string) => Promise<unknown>,
  { format, kind }: { readonly format: string | undefined; readonly kind: ObjectKind },
): Promise<number> {
  const show = format === undefined ? undefined : await compileInspectFormat(format)
  const found: unknown[] = []
  const problems: unknown[] = []
  for (const name of names) {
    try {
      found.push(await find(name))
    } catch (error) {
      const isAbsent = isStrataError(error, 'notFound') && !THERE.has(error.code)
      problems.push(isAbsent ? new NotThere(`No such ${kind}: ${withoutPassword(name)}`) : error)
    }
  }
  if (show === undefined) invocation.printLine(found.length === 0 ? '[]' : JSON.stringify(found, undefined, 4))
  else invocation.print(found.length === 0 ? '\n' : found.map(object => `${show(object)}\n`).join(''))
  for (const problem of problems) {
    if (problem instanceof NotThere) invocation.complain(`Error: ${problem.message}\n`)
    else invocation.report(problem)
  }
  return problems.length === 0 ? 0 : 1
}

/** An image for other machines only, or an artifact, is there; its message says more than docker's words. */
const THERE: ReadonlySet<string> = new Set(['STRATA_NO_SUCH_PLATFORM', 'STRATA_NO_IMAGE'])

class NotThere extends Error {}

/** A format for one object of docker's JSON. Rejects with `invalidArgument` for a wrong one. */
export async function compileInspectFormat(format: string): Promise<(object: unknown) => string> {
  const { compileFormat } = await import('./formats.ts')
  return compileFormat(format === 'json' ? '{{json .}}' : format, INSPECT_SHAPE)
}
