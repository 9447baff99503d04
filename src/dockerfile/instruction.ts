import type { Heredoc } from './sourceLines.ts'

/** A command as the exec form (a JSON list) or the shell form (everything else) has it. */
export interface CommandLine {
  readonly form: 'exec' | 'shell'
  /** The list, or one text for the shell. */
  readonly words: readonly string[]
}

export interface HealthcheckOptions {
  readonly intervalNs?: number
  readonly timeoutNs?: number
  readonly startPeriodNs?: number
  readonly startIntervalNs?: number
  readonly retries?: number
}

export type Pair = readonly [name: string, value: string]

/** The instructions that change only an image's config. Dockerfile reference. */
export type ConfigInstruction =
  | { readonly name: 'CMD' | 'ENTRYPOINT'; readonly command: CommandLine }
  | { readonly name: 'ENV' | 'LABEL'; readonly pairs: readonly Pair[] }
  | { readonly name: 'EXPOSE'; readonly ports: readonly string[] }
  | { readonly name: 'HEALTHCHECK'; readonly command: CommandLine | undefined; readonly options: HealthcheckOptions }
  | { readonly name: 'ONBUILD'; readonly trigger: string }
  | { readonly name: 'SHELL'; readonly words: readonly string[] }
  | { readonly name: 'STOPSIGNAL'; readonly signal: string }
  | { readonly name: 'USER'; readonly user: string }
  | { readonly name: 'VOLUME'; readonly paths: readonly string[] }
  | { readonly name: 'WORKDIR'; readonly path: string }
  | { readonly name: 'MAINTAINER'; readonly maintainer: string }

/** A file or folder that is put in; a file may stand in the Dockerfile itself. */
export type CopySource = { readonly path: string } | { readonly heredoc: Heredoc }

interface Copying {
  readonly sources: readonly CopySource[]
  readonly destination: string
  readonly chown?: string
  /** Octal, or symbolic as chmod(1) takes it. */
  readonly chmod?: string
  /** Whether the layer stands by itself, whatever is below it. */
  readonly link: boolean
  readonly exclude: readonly string[]
}

export interface CopyInstruction extends Copying {
  readonly name: 'COPY'
  /** A stage, an image or a build context; without it the build's own. */
  readonly from?: string
  /** Whether the folders above a source are kept. */
  readonly parents: boolean
}

export interface AddInstruction extends Copying {
  readonly name: 'ADD'
  readonly checksum?: string
  readonly keepGitDirectory: boolean
  /** Undefined: local archives are unpacked, fetched ones are not. */
  readonly unpack?: boolean
}

/** What RUN sees for the time of its command. Dockerfile reference, "RUN --mount". */
export interface RunMount {
  readonly type: 'bind' | 'cache' | 'tmpfs' | 'secret' | 'ssh'
  readonly id?: string
  readonly from?: string
  readonly source?: string
  readonly target?: string
  readonly readOnly?: boolean
  readonly sharing?: 'shared' | 'private' | 'locked'
  readonly required?: boolean
  /** The name of a variable that a secret is put in. */
  readonly environment?: string
  /** Permission bits, octal. */
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  readonly sizeBytes?: number
}

export interface RunInstruction {
  readonly name: 'RUN'
  readonly command: CommandLine
  readonly heredocs: readonly Heredoc[]
  readonly mounts: readonly RunMount[]
  readonly network: 'default' | 'none' | 'host'
  readonly security: 'sandbox' | 'insecure'
}

export interface FromInstruction {
  readonly name: 'FROM'
  readonly image: string
  readonly platform?: string
  /** What the stage is called, in lower case. */
  readonly alias?: string
}

export interface ArgInstruction {
  readonly name: 'ARG'
  readonly pairs: readonly (readonly [name: string, value: string | undefined])[]
}

/** What an instruction says; its words as they are written, or with variables expanded (`expandInstruction`). */
export type Instruction = ConfigInstruction | FromInstruction | ArgInstruction | RunInstruction | CopyInstruction | AddInstruction
