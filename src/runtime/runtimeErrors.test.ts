import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runtimeError } from './runtimeErrors.ts'

const json = (msg: string): string => `${JSON.stringify({ msg, level: 'error', time: '2026-11-21T04:33:58Z' })}\n`

test('runtimeError() makes one sentence of what crun and runc say', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    [
      'executable file `nope` not found in $PATH: No such file or directory',
      'STRATA_COMMAND_NOT_FOUND',
      'Cannot start it: executable file "nope" not found in $PATH: No such file or directory',
    ],
    [
      'runc run failed: unable to start container process: exec: "/nope": stat /nope: no such file or directory',
      'STRATA_COMMAND_NOT_FOUND',
      'Cannot start it: exec: "/nope": stat /nope: no such file or directory',
    ],
    [
      'the path `/etc` is not a regular file: Operation not permitted',
      'STRATA_COMMAND_NOT_EXECUTABLE',
      'Cannot start it: the path "/etc" is not a regular file: Operation not permitted',
    ],
    [
      'the path `/etc/passwd` exists but it is not executable: Operation not permitted',
      'STRATA_COMMAND_NOT_EXECUTABLE',
      'Cannot start it: the path "/etc/passwd" exists but it is not executable: Operation not permitted',
    ],
    [
      'cannot open `/etc/passwd/x`: Not a directory',
      'STRATA_COMMAND_NOT_EXECUTABLE',
      'Cannot start it: cannot open "/etc/passwd/x": Not a directory',
    ],
    [
      'open executable: Permission denied',
      'STRATA_COMMAND_NOT_EXECUTABLE',
      'Cannot start it: the command is not a program that may be run: Permission denied',
    ],
    [
      'chdir `/none`: No such file or directory',
      'STRATA_NO_WORKING_DIRECTORY',
      'Cannot start it: the working directory does not exist in the container',
    ],
    [
      'runc exec failed: unable to start container process: chdir to cwd ("/none") set in config.json failed: no such file or directory',
      'STRATA_NO_WORKING_DIRECTORY',
      'Cannot start it: the working directory does not exist in the container',
    ],
    [
      'exec container process `/etc/exe`: Exec format error',
      'STRATA_COMMAND_NOT_EXECUTABLE',
      'Cannot start it: exec container process "/etc/exe": Exec format error',
    ],
    [
      'error opening file `/run/crun/x/status`: No such file or directory',
      'STRATA_NO_SUCH_CONTAINER',
      'Cannot start it: the runtime knows no such container',
    ],
    ['the container `x` is not running', 'STRATA_CONTAINER_STATE', 'Cannot start it: the container "x" is not running'],
    ['something new.', 'STRATA_RUNTIME_FAILED', 'Cannot start it: something new'],
  ]
  for (const [said, code, message] of cases) {
    const error = runtimeError('start it', json(said))
    assert.deepEqual([error.code, error.message], [code, message])
  }
})

test('runtimeError() takes the first complaint of several, and lines that are no JSON as they are', () => {
  assert.match(runtimeError('x', json('the cause') + json('the consequence')).message, /the cause$/)
  assert.equal(runtimeError('x', 'mount: permission denied\n').message, 'Cannot x: mount: permission denied')
  assert.equal(runtimeError('x', '').message, 'Cannot x: the runtime gave no reason')
})
