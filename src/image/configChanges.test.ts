import assert from 'node:assert/strict'
import { test } from 'node:test'
import { changeConfig } from './configChanges.ts'

test('changeConfig() applies instructions one after the other', () => {
  const config = { Env: ['PATH=/bin', 'A=1'], Cmd: ['old'], Labels: { kept: 'yes' }, WorkingDir: '/srv' }
  assert.deepEqual(changeConfig(config, ['ENV A=2 B=$A', 'ENV C=$B$PATH', 'LABEL new=1', 'WORKDIR app', 'EXPOSE 80', 'CMD echo $A']), {
    Env: ['PATH=/bin', 'A=2', 'B=1', 'C=1/bin'],
    Cmd: ['/bin/sh', '-c', 'echo $A'],
    Labels: { kept: 'yes', new: '1' },
    WorkingDir: '/srv/app',
    ExposedPorts: { '80/tcp': {} },
  })
})

test('changeConfig() drops the old command with a new entry point, unless a command is given too', () => {
  assert.deepEqual(changeConfig({ Cmd: ['old'] }, ['ENTRYPOINT ["/run"]']), { Entrypoint: ['/run'] })
  assert.deepEqual(changeConfig({ Cmd: ['old'] }, ['CMD ["new"]', 'ENTRYPOINT ["/run"]']), { Cmd: ['new'], Entrypoint: ['/run'] })
})

test('changeConfig() leaves its input alone', () => {
  const config = Object.freeze({ Env: Object.freeze(['A=1']) })
  changeConfig(config, ['ENV A=2', 'USER www', 'ONBUILD RUN x', 'HEALTHCHECK NONE', 'STOPSIGNAL 9', 'VOLUME /v'])
  assert.deepEqual(config, { Env: ['A=1'] })
})

test('changeConfig() refuses instructions that make layers', () => {
  assert.throws(() => changeConfig({}, ['RUN true']), { code: 'STRATA_DOCKERFILE_INSTRUCTION' })
})

test('changeConfig() takes signals by name and number, and no others', () => {
  for (const signal of ['SIGTERM', 'term', 'USR1', '9', '64', 'RTMIN+3', 'SIGRTMAX-1', 'RTMIN'])
    assert.deepEqual(changeConfig({}, [`STOPSIGNAL ${signal}`]), { StopSignal: signal })
  for (const signal of ['NOPE', '0', '65', '-9', 'RTMIN+', '9x', 'SIG'])
    assert.throws(() => changeConfig({}, [`STOPSIGNAL ${signal}`]), { code: 'STRATA_DOCKERFILE_INSTRUCTION', message: /no such signal/ })
})
