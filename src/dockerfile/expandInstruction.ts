import { StrataError } from '../base/index.ts'
import type { CopySource, Instruction, Pair, RunMount } from './instruction.ts'
import { type Expansion, expandWord } from './words.ts'

/**
 * An instruction with the variables of its words resolved. Commands keep theirs: a shell resolves them when it runs.
 * Dockerfile reference, "Environment replacement".
 *
 * @throws StrataError `invalidArgument` for a word that cannot be resolved, or what it becomes is not allowed
 */
export function expandInstruction<One extends Instruction>(instruction: One, expansion: Expansion): One
export function expandInstruction(instruction: Instruction, expansion: Expansion): Instruction {
  const expand = (word: string): string => expandWord(word, expansion)
  switch (instruction.name) {
    case 'FROM':
      return { ...instruction, image: expand(instruction.image), ...expanded(instruction, 'platform', expand) }
    case 'ARG':
      return { ...instruction, pairs: instruction.pairs.map(([name, value]) => [name, value === undefined ? undefined : expand(value)]) }
    case 'ENV':
    case 'LABEL':
      return { ...instruction, pairs: instruction.pairs.map(([name, value]): Pair => [expand(name), expand(value)]) }
    case 'EXPOSE':
      return { ...instruction, ports: instruction.ports.flatMap(word => expand(word).split(/\s+/).filter(Boolean).flatMap(portsOf)) }
    case 'VOLUME':
      return { ...instruction, paths: instruction.paths.map(expand) }
    case 'USER':
      return { ...instruction, user: expand(instruction.user) }
    case 'WORKDIR':
      return { ...instruction, path: expand(instruction.path) }
    case 'STOPSIGNAL':
      return { ...instruction, signal: expand(instruction.signal) }
    case 'RUN':
      return { ...instruction, mounts: instruction.mounts.map(mount => expandedMount(mount, expand)) }
    case 'COPY':
    case 'ADD':
      return {
        ...instruction,
        sources: instruction.sources.map(source => expandedSource(source, expansion)),
        destination: expand(instruction.destination),
        exclude: instruction.exclude.map(expand),
        ...expanded(instruction, 'chown', expand),
        ...expanded(instruction, 'chmod', expand),
        ...(instruction.name === 'ADD' ? expanded(instruction, 'checksum', expand) : {}),
      }
    case 'CMD':
    case 'ENTRYPOINT':
    case 'HEALTHCHECK':
    case 'MAINTAINER':
    case 'ONBUILD':
    case 'SHELL':
      return instruction
    default:
      return instruction satisfies never
  }
}

/** A field that may not be there, as it is then. */
function expanded<Name extends string>(
  instruction: { readonly [Field in Name]?: string },
  field: Name,
  expand: (word: string) => string,
): { readonly [Field in Name]?: string } {
  const word = instruction[field]
  return word === undefined ? {} : ({ [field]: expand(word) } as { readonly [Field in Name]: string })
}

function expandedMount(mount: RunMount, expand: (word: string) => string): RunMount {
  return {
    ...mount,
    ...expanded(mount, 'id', expand),
    ...expanded(mount, 'from', expand),
    ...expanded(mount, 'source', expand),
    ...expanded(mount, 'target', expand),
  }
}

/** In a here-document quotes mean nothing. */
function expandedSource(source: CopySource, expansion: Expansion): CopySource {
  if ('path' in source) return { path: expandWord(source.path, expansion) }
  const { heredoc } = source
  return heredoc.expands ? { heredoc: { ...heredoc, content: expandText(heredoc.content, expansion) } } : source
}

/** Resolves variables and escapes of a text whose quotes are characters like any other. */
function expandText(text: string, expansion: Expansion): string {
  return expandWord(
    text.replace(/["']/g, quote => `${expansion.escape}${quote}`),
    expansion,
  )
}

/** `80`, `80/udp`, `8000-8002/tcp` → each port with its protocol. */
function portsOf(word: string): readonly string[] {
  const [, first = '', last = first, protocol = 'tcp'] = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/i.exec(word) ?? []
  const from = Number(first)
  const to = Number(last)
  if (first === '' || from < 1 || to > 65535 || from > to) {
    throw new StrataError(
      'invalidArgument',
      'STRATA_DOCKERFILE_INSTRUCTION',
      `Cannot read instruction "EXPOSE ${word}": "${word}" is no port, range of ports or port/protocol`,
    )
  }
  return Array.from({ length: to - from + 1 }, (_, index) => `${from + index}/${protocol.toLowerCase()}`)
}
