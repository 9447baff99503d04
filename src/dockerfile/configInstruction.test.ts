import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { isStrataError } from '../base/index.ts'
import { type ConfigInstruction, parseConfigInstruction } from './index.ts'

const ENVIRONMENT: Readonly<Record<string, string>> = { PATH: '/bin', NAME: 'a b', EMPTY: '' }
const parse = (line: string): ConfigInstruction => parseConfigInstruction(line, name => ENVIRONMENT[name])

const CASES: readonly (readonly [string, ConfigInstruction])[] = [
  ['CMD ["bash", "-l"]', { name: 'CMD', command: { form: 'exec', words: ['bash', '-l'] } }],
  // Single quotes are not JSON.
  ["CMD ['/hello']", { name: 'CMD', command: { form: 'shell', words: ["['/hello']"] } }],
  ['cmd echo $HOME', { name: 'CMD', command: { form: 'shell', words: ['echo $HOME'] } }],
  ['ENTRYPOINT []', { name: 'ENTRYPOINT', command: { form: 'exec', words: [] } }],
  [
    'ENV PATH=$PATH:/x A="b c" D=e\\ f',
    {
      name: 'ENV',
      pairs: [
        ['PATH', '/bin:/x'],
        ['A', 'b c'],
        ['D', 'e f'],
      ],
    },
  ],
  ['ENV A b  c', { name: 'ENV', pairs: [['A', 'b  c']] }],
  [
    "ENV A='$PATH' B=\\$PATH C=${NONE:-d} D=${NAME:+set} E=${EMPTY-kept}.",
    {
      name: 'ENV',
      pairs: [
        ['A', '$PATH'],
        ['B', '$PATH'],
        ['C', 'd'],
        ['D', 'set'],
        ['E', '.'],
      ],
    },
  ],
  [
    'LABEL one=1 "two words"=2',
    {
      name: 'LABEL',
      pairs: [
        ['one', '1'],
        ['two words', '2'],
      ],
    },
  ],
  ['EXPOSE 80 53/UDP 8000-8002', { name: 'EXPOSE', ports: ['80/tcp', '53/udp', '8000/tcp', '8001/tcp', '8002/tcp'] }],
  ['VOLUME ["/a b"]', { name: 'VOLUME', paths: ['/a b'] }],
  ['VOLUME /a /b', { name: 'VOLUME', paths: ['/a', '/b'] }],
  ['WORKDIR ${NAME}/x', { name: 'WORKDIR', path: 'a b/x' }],
  ['USER www:33', { name: 'USER', user: 'www:33' }],
  ['ONBUILD run make', { name: 'ONBUILD', trigger: 'RUN make' }],
  ['STOPSIGNAL SIGQUIT', { name: 'STOPSIGNAL', signal: 'SIGQUIT' }],
  ['HEALTHCHECK NONE', { name: 'HEALTHCHECK', command: undefined, options: {} }],
  [
    'HEALTHCHECK --interval=1m30s --retries=3 CMD curl -f localhost',
    { name: 'HEALTHCHECK', command: { form: 'shell', words: ['curl -f localhost'] }, options: { intervalNs: 90e9, retries: 3 } },
  ],
]

for (const [line, expected] of CASES) {
  test(`parseConfigInstruction() reads ${line}`, () => assert.deepEqual(parse(line), expected))
}

for (const line of [
  '',
  'RUN x',
  'CMD',
  'EXPOSE 0',
  'EXPOSE 99999',
  'EXPOSE 9-8',
  'ENV A',
  'ENV =x',
  'ENV A="x',
  'ONBUILD FROM x',
  'HEALTHCHECK --foo=1s CMD x',
  'HEALTHCHECK --interval=soon CMD x',
  'USER ${A',
  'USER ${A:?why}',
]) {
  test(`parseConfigInstruction() refuses "${line}"`, () => assert.throws(() => parse(line), { kind: 'invalidArgument' }))
}

test('parseConfigInstruction() throws nothing but StrataErrors', () => {
  const line = fc.tuple(
    fc.constantFrom('CMD', 'ENV', 'LABEL', 'EXPOSE', 'VOLUME', 'USER', 'HEALTHCHECK', 'ONBUILD', 'x'),
    fc.string({ unit: fc.constantFrom('$', '{', '}', '"', "'", '\\', ' ', 'a', '=', '[', ']', ':', '-', '1') }),
  )
  fc.assert(
    fc.property(line, ([name, rest]) => {
      try {
        parse(`${name} ${rest}`)
      } catch (error) {
        assert.ok(isStrataError(error, 'invalidArgument'), String(error))
      }
    }),
  )
})
