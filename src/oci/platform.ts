import { StrataError } from '../base/index.ts'
import type { Fields } from './document.ts'
import { quoted } from './quoted.ts'

/** What an image runs on. Values are Go's GOOS and GOARCH. image-spec image-index.md, property `platform` */
export interface Platform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string
  readonly 'os.version'?: string
  readonly 'os.features'?: readonly string[]
}

const WORD = /^[A-Za-z0-9_.-]+$/

/** Checks the platform of a descriptor. It is shown to people who choose, and asked for by them: its parts are words, or empty. */
export function decodePlatform(fields: Fields): Platform {
  const word = (name: string): string | undefined => {
    const value = fields.string(name)
    if (value !== undefined && value !== '' && !WORD.test(value)) throw fields.error(name, `is no word: ${quoted(value)}`)
    return value
  }
  return fields.with<Platform>({
    os: fields.require('os', word('os')),
    architecture: fields.require('architecture', word('architecture')),
    variant: word('variant'),
    'os.version': fields.string('os.version'),
    'os.features': fields.strings('os.features'),
  })
}

/** GOOS values: what a specifier of one word may name as an operating system. */
const SYSTEMS: ReadonlySet<string> = new Set(
  'aix android darwin dragonfly freebsd hurd illumos ios js linux netbsd openbsd plan9 solaris wasip1 windows zos'.split(' '),
)

/** GOARCH values. */
const ARCHITECTURES: ReadonlySet<string> = new Set(
  (
    '386 amd64 amd64p32 arm armbe arm64 arm64be loong64 mips mipsle mips64 mips64le mips64p32 mips64p32le ppc ppc64 ppc64le riscv riscv64 ' +
    's390 s390x sparc sparc64 wasm'
  ).split(' '),
)

/** Names that uname, dpkg, rpm and Node use, with the GOARCH value and the variant that they imply. */
const SYNONYMS: ReadonlyMap<string, readonly [architecture: string, variant?: string]> = new Map([
  ['x86_64', ['amd64']],
  ['x86-64', ['amd64']],
  ['x64', ['amd64']],
  ['i386', ['386']],
  ['i686', ['386']],
  ['ia32', ['386']],
  ['aarch64', ['arm64']],
  ['armhf', ['arm', 'v7']],
  ['armv7l', ['arm', 'v7']],
  ['armel', ['arm', 'v6']],
  ['armv6l', ['arm', 'v6']],
])

/** The variant that an architecture has when none is named; it is the one that is left out where that is possible. */
const PLAIN_VARIANT: Readonly<Record<string, string>> = { amd64: 'v1', arm64: 'v8' }

/**
 * The one spelling of a platform: lower case, GOOS and GOARCH names, the variants `amd64/v1` and `arm64/v8` left out,
 * `arm` with its variant (v7 when none is named). Two platforms are the same when their normal forms are.
 */
export function normalizePlatform<P extends Platform>(platform: P): P {
  const os = platform.os.toLowerCase()
  const named = platform.architecture.toLowerCase()
  const [architecture, implied] = SYNONYMS.get(named) ?? [named]
  const variant = normalizeVariant(architecture, implied ?? (platform.variant?.toLowerCase() || undefined))
  const { variant: _, ...rest } = platform
  return { ...rest, os: os === 'macos' ? 'darwin' : os, architecture, ...(variant === undefined ? {} : { variant }) } as P
}

function normalizeVariant(architecture: string, variant: string | undefined): string | undefined {
  if (architecture === '386') return undefined
  if (architecture === 'arm') return variant === undefined ? 'v7' : variant.replace(/^(?=\d)/, 'v')
  if (architecture !== 'amd64' && architecture !== 'arm64') return variant
  const spelled = variant?.replace(/^(?=\d)/, 'v').replace(/\.0$/, '')
  return spelled === PLAIN_VARIANT[architecture] ? undefined : spelled
}

const SYSTEM = /^([A-Za-z0-9_.-]+?)(?:\(([A-Za-z0-9_.-]+)\))?$/

/**
 * Reads a platform specifier: `<os>[(<os version>)]/<architecture>[/<variant>]`, `<os>` or `<architecture>`; in normal form.
 *
 * @param host gives the part that a specifier of one word leaves out; without it such a specifier is refused
 * @throws StrataError STRATA_PLATFORM_INVALID
 */
export function parsePlatform(text: string, host?: Platform): Platform {
  const parts = text.split('/')
  const [first = '', architecture, variant] = parts
  const [, os, version] = SYSTEM.exec(first) ?? []
  if (os === undefined || parts.length > 3 || !parts.slice(1).every(part => WORD.test(part))) {
    throw invalidPlatform(text, 'expected os/architecture[/variant]')
  }
  const osVersion = version === undefined ? {} : { 'os.version': version }
  if (architecture !== undefined) {
    return normalizePlatform({ os, architecture, ...(variant === undefined ? {} : { variant }), ...osVersion })
  }
  if (host === undefined) throw invalidPlatform(text, 'expected os/architecture[/variant]')
  const word = normalizePlatform({ os, architecture: os })
  if (SYSTEMS.has(word.os)) {
    const { variant: hostVariant } = host
    return normalizePlatform({
      os: word.os,
      architecture: host.architecture,
      ...(hostVariant === undefined ? {} : { variant: hostVariant }),
      ...osVersion,
    })
  }
  if (!ARCHITECTURES.has(word.architecture) || version !== undefined)
    throw invalidPlatform(text, 'no such operating system or architecture')
  return normalizePlatform({ ...word, os: host.os })
}

function invalidPlatform(text: string, state: string): StrataError {
  return new StrataError('invalidArgument', 'STRATA_PLATFORM_INVALID', `Cannot parse platform ${quoted(text)}: ${state}`, {
    hint: 'Platforms look like linux/amd64 or linux/arm/v7.',
  })
}

/** `os[(os version)]/architecture[/variant]` in normal form; `os.features` have no place in it. */
export function formatPlatform(platform: Platform): string {
  const { os, architecture, variant, 'os.version': version } = normalizePlatform(platform)
  return [
    version === undefined || version === '' ? os : `${os}(${version})`,
    architecture,
    ...(variant === undefined ? [] : [variant]),
  ].join('/')
}
