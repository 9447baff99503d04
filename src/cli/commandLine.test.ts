import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { readCommandLine } from './commandLine.ts'
import { bytes, duration, flag, integer, list, oneOf, text } from './options.ts'
import { UsageError } from './usageError.ts'

const TABLE = {
  all: flag('', { short: 'a' }),
  env: list('', { short: 'e' }),
  human: flag('', { short: 'H', initial: true }),
  interactive: flag('', { short: 'i' }),
  last: integer('', { short: 'n' }),
  memory: bytes('', { short: 'm' }),
  name: text(''),
  'no-trunc': flag(''),
  pull: oneOf(['always', 'never'], ''),
  timeout: duration(''),
  tty: flag('', { short: 't' }),
}

const read = (words: readonly string[], stops = false): ReturnType<typeof readCommandLine> => readCommandLine(TABLE, words, stops)

/** Only the values that differ from those without any flag. */
function given(...words: readonly string[]): Record<string, unknown> {
  const none = read([]).values
  return Object.fromEntries(
    Object.entries(read(words).values).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(none[name])),
  )
}

describe('readCommandLine()', () => {
  const CASES: readonly (readonly [string, Record<string, unknown>])[] = [
    ['-it', { interactive: true, tty: true }],
    ['-ti', { interactive: true, tty: true }],
    ['--interactive --tty', { interactive: true, tty: true }],
    ['--tty=false', {}],
    ['--tty --tty=false', {}],
    ['--tty=false --tty', { tty: true }],
    ['--tty=1 --all=T', { tty: true, all: true }],
    ['-t=true', { tty: true }],
    ['-t -t=false', {}],
    ['--human=false', { human: false }],
    ['--no-trunc', { 'no-trunc': true }],
    ['--no-trunc=false', {}],
    ['-e A=1 -eB=2 --env C=3 --env=D=4 -e=E=5', { env: ['A=1', 'B=2', 'C=3', 'D=4', 'E=5'] }],
    ['-it=false', { interactive: true }],
    ['-it=true', { interactive: true, tty: true }],
    ['-t -it=0', { interactive: true }],
    ['-itn=3', { interactive: true, tty: true, last: 3 }],
    ['-iei=1', { interactive: true, env: ['i=1'] }],
    ['-itn 3', { interactive: true, tty: true, last: 3 }],
    ['-itn3', { interactive: true, tty: true, last: 3 }],
    ['-n -1', { last: -1 }],
    ['--last=-1', { last: -1 }],
    ['--name a --name b', { name: 'b' }],
    ['--name=', { name: '' }],
    ['--name -x', { name: '-x' }],
    ['-m 512m', { memory: 512 * 1024 ** 2 }],
    ['--timeout 1m30s', { timeout: 90_000 }],
    ['--pull never', { pull: 'never' }],
  ]
  for (const [line, expected] of CASES) {
    test(`reads ${line}`, () => assert.deepEqual(given(...line.split(' ')), expected))
  }

  test('takes flags after operands, unless it stops at the first operand', () => {
    assert.deepEqual(read(['x', '-a', 'y']).operands, ['x', 'y'])
    assert.equal(read(['x', '-a']).values['all'], true)
    const stopped = read(['-t', 'image', 'sh', '-a', '--name', 'x', '--unknown'], true)
    assert.deepEqual(stopped.operands, ['image', 'sh', '-a', '--name', 'x', '--unknown'])
    assert.deepEqual([stopped.values['tty'], stopped.values['all'], stopped.values['name']], [true, false, undefined])
  })
  test('takes everything after -- for operands', () => {
    assert.deepEqual(read(['-a', '--', '-t', '--name']).operands, ['-t', '--name'])
    assert.deepEqual(read(['--', 'image', '--', '-t'], true).operands, ['image', '--', '-t'])
  })
  test('does not read flags of the container command that look like spelled ones', () => {
    const { values, operands } = read(['image', 'sh', '--tty=true', '-t=true'], true)
    assert.equal(values['tty'], false)
    assert.deepEqual(operands, ['image', 'sh', '--tty=true', '-t=true'])
  })
  test('wants help with --help and -h, unless -h is another flag', () => {
    assert.equal(read(['--help']).helpWanted, true)
    assert.equal(read(['-h']).helpWanted, true)
    assert.equal(read(['image', '--help'], true).helpWanted, false)
    const { values, helpWanted } = readCommandLine({ hostname: text('', { short: 'h' }) }, ['-h', 'x'], true)
    assert.deepEqual([values['hostname'], helpWanted], ['x', false])
  })

  const WRONG: readonly (readonly [string, string])[] = [
    ['--foo', 'unknown flag: --foo'],
    ['--foo=1', 'unknown flag: --foo'],
    ['-x', "unknown shorthand flag: 'x' in -x"],
    ['-tx', "unknown shorthand flag: 'x' in -x"],
    ['--name', 'flag needs an argument: --name'],
    ['-e', "flag needs an argument: 'e' in -e"],
    ['-te', "flag needs an argument: 'e' in -te"],
    ['--tty=maybe', 'invalid argument "maybe" for "-t, --tty" flag: expected true or false'],
    ['-n x', 'invalid argument "x" for "-n, --last" flag: expected a whole number'],
    ['-m abc', 'invalid argument "abc" for "-m, --memory" flag: invalid size: \'abc\''],
    ['--pull often', 'invalid argument "often" for "--pull" flag: expected "always", "never"'],
    ['--timeout 3', 'invalid argument "3" for "--timeout" flag: invalid duration: \'3\''],
  ]
  for (const [line, message] of WRONG) {
    test(`refuses ${line}`, () => {
      assert.throws(
        () => read(line.split(' ')),
        (error: unknown) => error instanceof UsageError && error.fault === 'flag' && error.message === message,
      )
    })
  }

  test('reads any words or throws a UsageError', () => {
    const word = fc.oneof(
      fc.constantFrom('-a', '-it', '--', '-', '--name', '--tty=false', '-n=3', '-e', '=', '--no-trunc'),
      fc.string({ maxLength: 6 }),
    )
    fc.assert(
      fc.property(fc.array(word, { maxLength: 8 }), fc.boolean(), (words, stops) => {
        try {
          read(words, stops)
        } catch (error) {
          assert.ok(error instanceof UsageError, String(error))
        }
      }),
    )
  })
})
