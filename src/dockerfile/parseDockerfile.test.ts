import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { isStrataError } from '../base/index.ts'
import { expandInstruction, type Instruction, parseDockerfile } from './index.ts'

/** The instructions of one stage behind `FROM scratch`. */
function parsed(text: string): readonly Instruction[] {
  return parseDockerfile(`FROM scratch\n${text}\n`).stages[0]!.statements.map(({ instruction }) => instruction)
}

const RUN = { name: 'RUN', heredocs: [], mounts: [], network: 'default', security: 'sandbox' } as const
const COPY = { name: 'COPY', link: false, parents: false, exclude: [] } as const
const ADD = { name: 'ADD', link: false, keepGitDirectory: false, exclude: [] } as const
const shell = (text: string) => ({ form: 'shell', words: [text] }) as const

const CASES: readonly (readonly [string, readonly Instruction[]])[] = [
  ['RUN echo  "a  b" | cat', [{ ...RUN, command: shell('echo  "a  b" | cat') }]],
  ['run ["echo", "a b"]', [{ ...RUN, command: { form: 'exec', words: ['echo', 'a b'] } }]],
  ["RUN ['echo']", [{ ...RUN, command: shell("['echo']") }]],
  ['RUN a && \\\n  b \\\n# a comment\n   # another one\n\n  && c', [{ ...RUN, command: shell('a &&   b   && c') }]],
  ['RUN a \\  \n  b', [{ ...RUN, command: shell('a   b') }]],
  [
    'RUN echo a\\\\\nRUN b',
    [
      { ...RUN, command: shell('echo a\\\\') },
      { ...RUN, command: shell('b') },
    ],
  ],
  ['  RUN a # not a comment', [{ ...RUN, command: shell('a # not a comment') }]],
  [
    'RUN --mount=type=cache,target=/c,id=x,sharing=locked --mount=type=secret,id=s,env=TOKEN,required --network=none make',
    [
      {
        ...RUN,
        mounts: [
          { type: 'cache', target: '/c', id: 'x', sharing: 'locked' },
          { type: 'secret', id: 's', environment: 'TOKEN', required: true },
        ],
        network: 'none',
        command: shell('make'),
      },
    ],
  ],
  [
    'RUN --mount=type=bind,from=b,src=/x,dst=/y,rw --mount=type=tmpfs,target=/t,size=64m --mount=type=ssh,mode=0600 x',
    [
      {
        ...RUN,
        mounts: [
          { type: 'bind', from: 'b', source: '/x', target: '/y', readOnly: false },
          { type: 'tmpfs', target: '/t', sizeBytes: 64 * 1024 * 1024 },
          { type: 'ssh', mode: 0o600 },
        ],
        command: shell('x'),
      },
    ],
  ],
  [
    'RUN <<EOF\necho $a\n  b\nEOF\nUSER x',
    [
      { ...RUN, command: shell('<<EOF'), heredocs: [{ name: 'EOF', content: 'echo $a\n  b\n', expands: true }] },
      { name: 'USER', user: 'x' },
    ],
  ],
  [
    'RUN <<-"A" cat - && 3<<B sh\n\ta\n\tA\n\tb\nB',
    [
      {
        ...RUN,
        command: shell('<<-"A" cat - && 3<<B sh'),
        heredocs: [
          { name: 'A', content: 'a\n', expands: false },
          { name: 'B', content: '\tb\n', expands: true },
        ],
      },
    ],
  ],
  ['RUN echo "<<EOF" $((1<<2))', [{ ...RUN, command: shell('echo "<<EOF" $((1<<2))') }]],
  ['COPY a b /c/', [{ ...COPY, sources: [{ path: 'a' }, { path: 'b' }], destination: '/c/' }]],
  [
    'COPY --from=base --chown=1:2 --chmod=u+x --link --parents=false --exclude=*.o --exclude=t ["a b", "/c"]',
    [
      {
        ...COPY,
        from: 'base',
        chown: '1:2',
        chmod: 'u+x',
        link: true,
        exclude: ['*.o', 't'],
        sources: [{ path: 'a b' }],
        destination: '/c',
      },
    ],
  ],
  [
    "COPY <<one a <<'two' /d/\n1\none\n2\ntwo",
    [
      {
        ...COPY,
        sources: [
          { heredoc: { name: 'one', content: '1\n', expands: true } },
          { path: 'a' },
          { heredoc: { name: 'two', content: '2\n', expands: false } },
        ],
        destination: '/d/',
      },
    ],
  ],
  [
    'ADD --checksum=sha256:1 --keep-git-dir --unpack=false https://x/y /',
    [{ ...ADD, checksum: 'sha256:1', keepGitDirectory: true, unpack: false, sources: [{ path: 'https://x/y' }], destination: '/' }],
  ],
  [
    'ARG A B=1 C="x y"',
    [
      {
        name: 'ARG',
        pairs: [
          ['A', undefined],
          ['B', '1'],
          ['C', '"x y"'],
        ],
      },
    ],
  ],
  ['SHELL ["/bin/bash", "-c"]', [{ name: 'SHELL', words: ['/bin/bash', '-c'] }]],
  ['MAINTAINER me <me@example.com>', [{ name: 'MAINTAINER', maintainer: 'me <me@example.com>' }]],
  ['ONBUILD copy . /x', [{ name: 'ONBUILD', trigger: 'COPY . /x' }]],
  [
    'ONBUILD RUN <<E\na\nE\nUSER x',
    [
      { name: 'ONBUILD', trigger: 'RUN <<E\na\nE' },
      { name: 'USER', user: 'x' },
    ],
  ],
  ['EXPOSE $PORT 80', [{ name: 'EXPOSE', ports: ['$PORT', '80'] }]],
  [
    'ENV A=1 \\\n  B=2',
    [
      {
        name: 'ENV',
        pairs: [
          ['A', '1'],
          ['B', '2'],
        ],
      },
    ],
  ],
]

for (const [text, expected] of CASES) {
  test(`parseDockerfile() reads ${JSON.stringify(text)}`, () => assert.deepEqual(parsed(text), expected))
}

test('parseDockerfile() reads stages, the arguments before them, and what stands where', () => {
  const { globals, stages, directives } = parseDockerfile(
    '# syntax = docker/dockerfile:1\n# escape=`\n\nARG V=1\n# the base\n# of all\nfrom --platform=$BUILDPLATFORM debian:$V as Base\nRUN a `\n  b\n\nFROM base\n',
  )
  assert.deepEqual(directives, { escape: '`', syntax: 'docker/dockerfile:1' })
  assert.deepEqual(
    globals.map(({ instruction }) => instruction),
    [{ name: 'ARG', pairs: [['V', '1']] }],
  )
  const [base, last] = stages
  assert.deepEqual(base!.from.instruction, { name: 'FROM', image: 'debian:$V', platform: '$BUILDPLATFORM', alias: 'base' })
  assert.deepEqual(base!.from.comments, ['the base', 'of all'])
  const { text, place, lastLine } = base!.statements[0]!
  assert.deepEqual({ text, place, lastLine }, { text: 'RUN a   b', place: { line: 8, column: 1 }, lastLine: 9 })
  assert.deepEqual(last!.statements, [])
})

test('parseDockerfile() takes directives only at the top, and CRLF and a byte order mark as nothing', () => {
  assert.deepEqual(parseDockerfile('# a comment\n# escape=`\nFROM x').directives, { escape: '\\' })
  assert.deepEqual(parseDockerfile('#escape=`\r\nFROM x\r\nRUN a `\r\n b\r\n').stages[0]!.statements.length, 1)
  assert.deepEqual(parseDockerfile('\uFEFFFROM x').stages[0]!.from.place, { line: 1, column: 1 })
})

const FAULTS: readonly (readonly [text: string, place: string, state: RegExp])[] = [
  ['', 'line 1, column 1', /it has no FROM/],
  ['FORM x', 'line 1, column 1', /"FORM" is no instruction/],
  ['RUN x\nFROM y', 'line 1, column 1', /RUN comes before the first FROM/],
  ['FROM x\n  COPYY a b', 'line 2, column 3', /"COPYY" is no instruction/],
  ['FROM x AS', 'line 1, column 8', /AS and a name/],
  ['FROM x AS 1a', 'line 1, column 11', /no name of a stage/],
  ['FROM x\nCOPY a', 'line 2, column 6', /needs a source and a destination/],
  ['FROM x\nCOPY --frm=y a b', 'line 2, column 6', /COPY has no flag --frm/],
  ['FROM x\nCOPY --from=y --from=z a b', 'line 2, column 15', /--from is there twice/],
  ['FROM x\nCOPY --link=maybe a b', 'line 2, column 6', /true or false/],
  ['FROM x\nRUN --mount=type=foo,target=/x a', 'line 2, column 5', /no mount of type "foo"/],
  ['FROM x\nRUN \\\n  --mount=type=cache \\\n  a', 'line 3, column 3', /needs a target/],
  ['FROM x\nRUN --mount=type=tmpfs,target=/x,id=1 a', 'line 2, column 5', /a mount of type tmpfs has no "id"/],
  ['FROM x\nRUN --network=bridge a', 'line 2, column 5', /--network is one of/],
  ['FROM x\nRUN <<EOF\na', 'line 2, column 5', /the here-document "EOF" has no end/],
  ['FROM x\nENV A', 'line 2, column 5', /"A" has no value/],
  ['FROM x\nENV A=1 \\\n  B', 'line 3, column 3', /"B" is not name=value/],
  ['FROM x\nSHELL bash', 'line 2, column 7', /JSON list/],
  ['FROM x\nONBUILD FROM y', 'line 2, column 9', /not allowed as a trigger/],
  ['FROM x\nUSER', 'line 2, column 5', /USER needs an argument/],
  ['# escape=x\nFROM x', 'line 1, column 3', /neither \\ nor `/],
  ['# syntax=a\n# syntax=b\nFROM x', 'line 2, column 3', /twice/],
]

for (const [text, place, state] of FAULTS) {
  test(`parseDockerfile() says what is wrong with ${JSON.stringify(text)}, and where`, () => {
    assert.throws(
      () => parseDockerfile(text),
      error => {
        assert.ok(isStrataError(error, 'invalidArgument'))
        assert.match(error.message, new RegExp(`^Cannot read Dockerfile, ${place}: `))
        assert.match(error.message, state)
        return true
      },
    )
  })
}

test('parseDockerfile() shows the line, with a mark below what is wrong', () => {
  assert.throws(() => parseDockerfile('FROM x\n\tFORM y'), {
    hint: 'Did you mean FROM?',
    excerpt: ['2 | \tFORM y', '  | \t^'],
  })
})

test('parseDockerfile() throws nothing but StrataErrors, and takes what it reads apart into lines that exist', () => {
  const piece = fc.constantFrom(
    ...['FROM x', 'RUN ', 'COPY ', 'ADD ', 'ONBUILD ', 'ARG ', 'ENV ', '--mount=', 'type=cache', '<<E', 'E', '\\', '`', '"', "'"],
    ...['\n', '\n', ' ', '#', '# escape=`', '[', ']', ',', '$', '{', '}', 'a', '=', '--', '\t', '\r', '\uFEFF', '\0'],
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), fc.boolean(), (pieces, isWhole) => {
      const text = `${isWhole ? 'FROM x\n' : ''}${pieces.join('')}`
      try {
        const { stages, source } = parseDockerfile(text)
        for (const { from, statements } of stages)
          for (const { place, lastLine } of [from, ...statements]) assert.ok(place.line <= lastLine && lastLine <= source.length)
      } catch (error) {
        assert.ok(isStrataError(error, 'invalidArgument'), String(error))
      }
    }),
    { numRuns: 3000 },
  )
})

test('expandInstruction() resolves words, in here-documents without quotes, and leaves commands to their shell', () => {
  const variables: Readonly<Record<string, string>> = { A: 'x', PORTS: '80 443/udp', FILE: 'a.tar.gz' }
  const expand = (text: string): Instruction => expandInstruction(parsed(text)[0]!, { lookup: name => variables[name], escape: '\\' })
  const { sources } = expand('COPY <<E $A/b /${A}\n"$A" \'$A\' \\$A\nE') as Extract<Instruction, { name: 'COPY' }>
  assert.deepEqual(sources, [{ heredoc: { name: 'E', content: '"x" \'x\' $A\n', expands: true } }, { path: 'x/b' }])
  assert.deepEqual(expand('EXPOSE $PORTS'), { name: 'EXPOSE', ports: ['80/tcp', '443/udp'] })
  assert.deepEqual(expand('RUN --mount=type=cache,target=/$A echo $A'), {
    ...RUN,
    mounts: [{ type: 'cache', target: '/x' }],
    command: shell('echo $A'),
  })
  const forms: readonly (readonly [string, string])[] = [
    ['${FILE#*.}', 'tar.gz'],
    ['${FILE##*.}', 'gz'],
    ['${FILE%.*}', 'a.tar'],
    ['${FILE%%.*}', 'a'],
    ['${FILE/a/b}', 'b.tar.gz'],
    ['${FILE//a/b}', 'b.tbr.gz'],
    ['${FILE/.*/}', 'a'],
    ['${FILE//\\./-}', 'a-tar-gz'],
    ['${NONE:-${A}y}', 'xy'],
    ['${A:+$FILE}', 'a.tar.gz'],
    ["'$A'", '$A'],
    ['\\$A', '$A'],
  ]
  for (const [word, value] of forms) assert.deepEqual(expand(`USER ${word}`), { name: 'USER', user: value }, word)
})
