import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ContainerInspect, ImageInspect } from '../engine/index.ts'
import { NOWHERE, noSuch, strata } from '../../test/cli/strataInTest.ts'

describe('inspect', () => {
  const image = { Id: 'sha256:1', Config: { Labels: null } } as unknown as ImageInspect
  const container = { Id: 'c1', State: { Running: true } } as unknown as ContainerInspect

  test('prints an indented array of whatever kind has the name', async () => {
    const ran = await strata('inspect c1 debian:12', {
      ...NOWHERE,
      inspectContainer: async name => (name === 'c1' ? container : noSuch('container', 'CONTAINER')(name)),
      inspectImage: async () => image,
    })
    assert.equal(ran.stdout, `${JSON.stringify([container, image], undefined, 4)}\n`)
    assert.equal(ran.status, 0)
  })
  test('prints [] and docker’s complaint for what is not there', async () => {
    const ran = await strata('inspect x', NOWHERE)
    assert.deepEqual([ran.status, ran.stdout, ran.stderr], [1, '[]\n', 'Error: No such object: x\n'])
    assert.equal((await strata('inspect ann:s3cret@host.test/x', NOWHERE)).stderr, 'Error: No such object: ann:…@host.test/x\n')
    for (const kind of ['image', 'container', 'volume', 'network']) {
      assert.equal((await strata(`${kind} inspect x`, NOWHERE)).stderr, `Error: No such ${kind}: x\n`)
      assert.equal((await strata(`inspect --type ${kind} x`, NOWHERE)).stderr, `Error: No such ${kind}: x\n`)
    }
  })
  test('prints what it found before it complains', async () => {
    const ran = await strata('image inspect x debian:12', {
      inspectImage: async name => (name === 'x' ? noSuch('image', 'IMAGE')(name) : image),
    })
    assert.deepEqual([ran.status, JSON.parse(ran.stdout), ran.stderr], [1, [image], 'Error: No such image: x\n'])
  })
  test('prints a line for each by a format, and an empty one when nothing is there', async () => {
    assert.equal(
      (await strata(['inspect', '-f', '{{.Id}}', 'c1', 'c2'], { ...NOWHERE, inspectContainer: async () => container })).stdout,
      'c1\nc1\n',
    )
    assert.equal((await strata(['inspect', '-f', '{{.Id}}', 'x'], NOWHERE)).stdout, '\n')
    assert.equal(
      (await strata('inspect -f json c1', { ...NOWHERE, inspectContainer: async () => container })).stdout,
      `${JSON.stringify(container)}\n`,
    )
  })
  test('knows which nulls are maps and which fields may be absent', async () => {
    const show = async (format: string): Promise<string> =>
      (await strata(['image', 'inspect', '-f', format, 'i'], { inspectImage: async () => image })).stdout
    assert.equal(await show('{{.Config.Labels}} {{.Config.Entrypoint}}'), 'map[] []\n')
    assert.equal(await show('{{if .Config.Healthcheck}}y{{else}}n{{end}}'), 'n\n')
    assert.equal(await show('[{{.Variant}}|{{.OsVersion}}|{{.Config.User}}] {{json .Variant}} {{.Config.ArgsEscaped}}'), '[||] "" false\n')
    assert.equal(await show('{{if eq .Config.User ""}}root{{end}} {{.Config.ExposedPorts}} {{.Config.Cmd}}'), 'root map[] []\n')
  })
  test('refuses a wrong format before it asks for anything', async () => {
    const ran = await strata(['inspect', '-f', '{{.Id', 'c1'], NOWHERE)
    assert.equal(ran.status, 1)
    assert.match(ran.stderr, /^strata: Cannot parse format "\{\{\.Id": template: :1: unclosed action\n$/)
  })
})
