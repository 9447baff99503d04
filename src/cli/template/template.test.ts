import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { compileTemplate, TemplateError } from './index.ts'

const DATA = { Client: { Version: '28.2.2', GoVersion: 'go1.24.3', Os: 'linux', Arch: 'amd64' }, Server: null }

/** What docker 28.2.2 was seen to print with `docker version --format`. */
const GOLDENS: readonly (readonly [string, string])[] = [
  ['{{.Client.Version}}', '28.2.2'],
  ['{{/* comment */}}x', 'x'],
  ['a {{- /* c */ -}} b', 'ab'],
  ['{{- "x" -}}   y', 'xy'],
  ['x  {{- 1 -}}  y', 'x1y'],
  ['{{range $i, $x := split .Client.Version "."}}{{$i}}={{$x}},{{end}}', '0=28,1=2,2=2,'],
  ['{{range split .Client.Version "."}}[{{.}}]{{else}}none{{end}}', '[28][2][2]'],
  ['{{range split "" "."}}[{{.}}]{{else}}none{{end}}', '[]'],
  ['{{if eq .Client.Os "linux"}}L{{else if eq .Client.Os "darwin"}}D{{else}}?{{end}}', 'L'],
  ['{{if and true (ne 1 2) (lt 1 2)}}yes{{end}}', 'yes'],
  ['{{if or false "" 0}}yes{{else}}no{{end}}', 'no'],
  ['{{or "" 0 "z"}} {{and 1 "" 2}}| {{not 0}}', 'z | true'],
  ['{{with .Client.Arch}}{{.}}{{$.Client.Os}}{{else}}none{{end}}', 'amd64linux'],
  ['{{with ""}}x{{else with "y"}}{{.}}{{end}}', 'y'],
  ['{{with ""}}x{{else}}e{{end}}', 'e'],
  ['{{$v := .Client.Version}}{{$v}}-{{len $v}}', '28.2.2-6'],
  ['{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}', '2'],
  ['{{$x := 1}}{{if true}}{{$x := 2}}{{end}}{{$x}}', '1'],
  ['{{index (split .Client.Version ".") 1}}', '2'],
  ['{{slice .Client.Version 0 2}}', '28'],
  ['{{(slice .Client.Version 3)}}', '2.2'],
  ['{{join (split .Client.Version ".") "-"}}', '28-2-2'],
  ['{{upper "abC"}} {{lower "ABc"}} {{title "hello wide world"}}', 'ABC abc Hello Wide World'],
  ['{{printf "%s|%5s|%-5s|%q|%v|%d|%05d|%x|%t|%%" "a" "b" "c" "d" "e" 7 42 255 true}}', 'a|    b|c    |"d"|e|7|00042|ff|true|%'],
  ['{{printf "%.2f %6.1f %e" 3.14159 2.5 12345.678}}', '3.14    2.5 1.234568e+04'],
  ['{{printf "%d %s" 1}}', '1 %!s(MISSING)'],
  ['{{printf "%s" 1 2}}', '%!s(int=1)%!(EXTRA int=2)'],
  ['{{printf "%v %v" true 1.5}}', 'true 1.5'],
  ['{{println "a" 1 true}}|', 'a 1 true\n|'],
  ['{{print 1 2 "a" "b" 3 4}}', '1 2ab3 4'],
  ['{{pad "x" 2 3}}|', '  x   |'],
  ['{{pad "" 2 3}}|', '|'],
  ['{{truncate "abcdef" 3}} {{truncate "ab" 3}}', 'abc ab'],
  ['{{`raw \\n`}}', 'raw \\n'],
  ["{{'a'}} {{0x1F}} {{017}} {{1_000}} {{1.5e3}} {{-3}}", '97 31 15 1000 1500 -3'],
  ['{{"abc" | upper | printf "%s-%s" "x"}}', 'x-ABC'],
  ['{{true}} {{false}}', 'true false'],
  ['{{json "a<b>&\\"c"}} {{json 1}} {{json true}} {{json nil}}', '"a<b>&\\"c" 1 true null'],
  ['{{json (split "a.b" ".")}}', '["a","b"]'],
  ['{{eq 1 2 3 1}} {{eq "a" "b"}} {{ne "a" "b"}} {{le 1 1}} {{gt 2 1}} {{ge 1 2}}', 'true false true true true false'],
  ['{{lt "a" "b"}}', 'true'],
  ['{{range $i, $c := split "a,b,c,d" ","}}{{if eq $c "b"}}{{continue}}{{end}}{{if eq $c "d"}}{{break}}{{end}}{{$c}}{{end}}', 'ac'],
  ['{{range $x := split "a,b" ","}}{{$x}}{{end}}', 'ab'],
  ['{{len (split "a,b" ",")}}', '2'],
  ['{{range 3}}{{.}}{{end}}', '012'],
  ['{{html "<a&\'\\">"}} {{urlquery "a b&c"}}', '&lt;a&amp;&#39;&#34;&gt; a+b%26c'],
  ['{{(split "a.b" ".")}}', '[a b]'],
  ['{{if not (eq .Client.Os "linux")}}a{{else}}b{{end}}', 'b'],
  ['{{printf "%+d %+.1f %08.3f %x" 5 2.0 3.14159 "hi"}}', '+5 +2.0 0003.142 6869'],
  ['{{ .Client.Os }}{{"\\n"}}x', 'linux\nx'],
  ['{{"a"}}{{"b"}}', 'ab'],
  ['{{ "a" }} {{- " b " -}} c', 'a b c'],
  ['{{.Client.GoVersion | printf "%.2s"}}', 'go'],
  ['{{split "a,b" ","}}', '[a b]'],
  ['{{index "abc" 1}}', '98'],
  ['{{printf "%s" (split "a,b" ",")}}', '[a b]'],
  ['{{printf "%q" (split "a,b" ",")}}', '["a" "b"]'],
  ['{{"a" | len}}', '1'],
  ['{{eq .Client.Os .Client.Os "x"}}', 'true'],
  ['{{(index (split "a,b" ",") 0) | upper}}', 'A'],
  ['{{"quoted\\t\\"x\\" \\u00e9\\n"}}|', 'quoted\t"x" é\n|'],
]

/** What it refused, with the end of its message where it says one before it runs the template. */
const REFUSED: readonly (readonly [string, string])[] = [
  ['{{eq 1 "a"}}', ''],
  ['{{.Client.Nope}}', ''],
  ['{{.Nope}}', ''],
  ['{{nope}}', 'function "nope" not defined'],
  ['{{if}}x{{end}}', 'missing value for if'],
  ['{{if true}}x', 'unexpected EOF'],
  ['{{end}}', 'unexpected {{end}}'],
  ['{{else}}', 'unexpected {{else}}'],
  ['{{.Client.Version', 'unclosed action'],
  ['{{"abc}}', 'unterminated quoted string'],
  ['{{index (split "a" ".") 5}}', ''],
  ['{{.Client.Version.Foo}}', ''],
  ['{{$y}}', 'undefined variable "$y"'],
  ['{{len 3}}', ''],
  ['{{range}}{{end}}', 'missing value for range'],
  ['{{template "x"}}', ''],
  ['{{upper}}', ''],
  ['{{upper "a" "b"}}', ''],
  ['{{not}}', ''],
  ['{{break}}', '{{break}} outside {{range}}'],
  ['{{$a, $b := 1}}', 'too many declarations in command'],
  ['{{slice "abc" 2 1}}', ''],
  ['{{slice "abc" 0 9}}', ''],
  ['{{1 | 2}}', ''],
]

describe('compileTemplate()', () => {
  for (const [template, printed] of GOLDENS) {
    test(`prints ${template} as docker does`, () => assert.equal(compileTemplate(template)(DATA), printed))
  }
  for (const [template, message] of REFUSED) {
    test(`refuses ${template} as docker does`, () => {
      assert.throws(
        () => compileTemplate(template)(DATA),
        (error: unknown) => {
          assert.ok(error instanceof TemplateError)
          assert.ok(error.message.endsWith(message), error.message)
          return true
        },
      )
    })
  }

  const INSPECTED = {
    Id: 'sha256:1',
    State: { Running: true, ExitCode: 0 },
    Config: { Labels: { b: '2', a: '1' }, Env: ['A=1', 'B=2'], Entrypoint: null, Volumes: null, 'com.x': 1 },
    HostConfig: { PidsLimit: null },
    NetworkSettings: { Ports: { '80/tcp': [{ HostIp: '0.0.0.0', HostPort: '8080' }], '81/tcp': null } },
  }
  const SHAPE = {
    optional: new Set(['Health']),
    zeros: new Map([['User', '']]),
    maps: new Set(['Labels', 'Volumes']),
    pointers: new Set(['Health', 'PidsLimit']),
  }
  const inspected = (template: string): string => compileTemplate(template, SHAPE)(INSPECTED)

  const CASES: readonly (readonly [string, string, string])[] = [
    ['ranges over a map in the order of its keys', '{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}', 'a=1;b=2;'],
    ['prints maps and lists as Go does', '{{.Config.Labels}} {{.Config.Env}}', 'map[a:1 b:2] [A=1 B=2]'],
    [
      'prints a null list, map and pointer differently',
      '{{.Config.Entrypoint}} {{.Config.Volumes}} {{.HostConfig.PidsLimit}}',
      '[] map[] <nil>',
    ],
    [
      'writes null in JSON for all of them',
      '{{json .Config.Entrypoint}}{{json .Config.Volumes}}{{json .HostConfig.PidsLimit}}',
      'nullnullnull',
    ],
    ['takes an absent optional field for false', '{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}', 'none'],
    ['finds the first host port', '{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}', '8080'],
    [
      'skips the port that is not published',
      '{{range $p, $b := .NetworkSettings.Ports}}{{range $b}}{{$p}}->{{.HostPort}}{{end}}{{end}}',
      '80/tcp->8080',
    ],
    ['indexes a map with a key that is no name', '{{index .Config "com.x"}}', '1'],
    ['answers a missing key of a map of strings with ""', '[{{index .Config.Labels "nope"}}]', '[]'],
    ['prints a missing small-letter key as no value', '{{.Config.Labels.nope}}', '<no value>'],
  ]
  for (const [title, template, printed] of CASES) test(title, () => assert.equal(inspected(template), printed))

  test('refuses a field that is not there, and names the place', () => {
    assert.throws(() => inspected('a\n {{.Staet}}'), /template: :2:3: executing "" at <\.Staet>: map has no entry for key "Staet"$/)
  })
  test('refuses a field of an absent optional one', () => {
    assert.throws(() => inspected('{{.State.Health.Status}}'), /nil pointer evaluating field Status/)
  })
  test('calls functions of the data with arguments', () => {
    const row = { Label: (key: unknown) => `<${String(key)}>`, Name: () => 'n' }
    assert.equal(compileTemplate('{{.Label "k"}} {{.Name}} {{"k2" | .Label}} {{printf "%s" .Name}}')(row), '<k> n <k2> n')
  })
  test('never reaches what an object inherits', () => {
    assert.throws(() => compileTemplate('{{.constructor.constructor}}')({}), TemplateError)
    assert.equal(compileTemplate('{{.__proto__}}')({}), '<no value>')
  })
  test('gives up on nesting that no person writes', () => {
    assert.throws(() => compileTemplate(`{{${'('.repeat(5000)}}}`), /too deeply nested/)
    assert.throws(() => compileTemplate('{{if 1}}'.repeat(5000)), /too deeply nested/)
  })
})

describe('compileTemplate() for any input', () => {
  const fragments = [
    '{{',
    '}}',
    '-',
    ' ',
    '.',
    '.A',
    '$x',
    ':=',
    '|',
    '(',
    ')',
    '"s"',
    '1',
    'if',
    'else',
    'end',
    'range',
    'with',
    'json',
    'index',
    'and',
    '\n',
    'x',
  ]
  test('either prints or throws a TemplateError', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constantFrom(...fragments), fc.string({ maxLength: 4 })), { maxLength: 25 }), parts => {
        try {
          compileTemplate(parts.join(''))({ A: [1, { B: null }], x: 'y' })
        } catch (error) {
          assert.ok(error instanceof TemplateError, String(error))
        }
      }),
      { numRuns: 5000 },
    )
  })
  test('prints text without actions as it is', () => {
    fc.assert(
      fc.property(
        fc.string().filter(text => !text.includes('{{')),
        text => compileTemplate(text)({}) === text,
      ),
    )
  })
  test('prints what json wrote as the value it was', () => {
    fc.assert(
      fc.property(fc.jsonValue(), value => {
        assert.deepEqual(JSON.parse(compileTemplate('{{json .V}}')({ V: value })), JSON.parse(JSON.stringify(value)))
      }),
    )
  })
  test('keeps strings whole through a literal', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', '"', '\\', '\n', 'é', '\t', '}', '{') }), text => {
        assert.equal(compileTemplate(`{{${JSON.stringify(text)}}}`)({}), text)
      }),
    )
  })
  test('ranges over every element once, in order', () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), list => {
        assert.equal(
          compileTemplate('{{range $i, $e := .L}}{{$i}}:{{$e}},{{else}}none{{end}}')({ L: list }),
          list.length === 0 ? 'none' : list.map((e, i) => `${i}:${e},`).join(''),
        )
      }),
    )
  })
})
