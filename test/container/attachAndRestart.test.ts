import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { ByteStream } from '../../src/base/index.ts'
import type { ContainerImage } from '../../src/container/index.ts'
import { openWorkshop, remains, Sink, whyNot, type Workshop } from './workshop.ts'

const skip = await whyNot()
let workshop: Workshop
let busybox: ContainerImage

before(async () => {
  if (skip !== false) return
  workshop = await openWorkshop()
  busybox = await workshop.busybox()
})

after(async () => {
  if (skip !== false) return
  await workshop[Symbol.asyncDispose]()
})

/** Input that says what it has to say, and ends when it is let go. */
function input(text: string): { readonly bytes: ByteStream; readonly end: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  async function* bytes(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(text)
    await promise
  }
  return { bytes: bytes(), end: resolve }
}

test('attach() to a container of the foreground shares its input, follows its output and tells its end', { skip }, async () => {
  const [near, far] = [input('first\n'), input('second\nend\n')]
  const sinks = { stdout: new Sink(), stderr: new Sink() }
  const later = { stdout: new Sink(), stderr: new Sink() }
  const script = 'while read x && [ $x != end ]; do echo "got $x"; echo "err $x" >&2; done; echo bye; exit 6'
  const { id, ended } = await workshop.containers.run(
    { image: busybox.name, network: 'none', autoRemove: true, openStdin: true, attach: ['stdin', 'stdout'], command: ['sh', '-c', script] },
    busybox,
    { ...sinks, stdin: near.bytes },
  )
  await sinks.stderr.until(/err first/)
  const attached = workshop.containers.attach(id, { ...later, stdin: far.bytes })
  assert.deepEqual(await attached, { kind: 'exited', exitCode: 6 })
  assert.deepEqual(await ended, { kind: 'exited', exitCode: 6 })
  assert.deepEqual([later.stdout.text, later.stderr.text], ['got second\nbye\n', 'err second\n'])
  assert.equal(sinks.stdout.text, 'got first\ngot second\nbye\n')
  for (const { end } of [near, far]) end()
})

test('attach() reaches a container that removes itself and keeps no log', { skip }, async () => {
  const command = ['sh', '-c', 'trap "echo bye; exit 3" TERM; echo ready; while :; do sleep 0.05; done']
  const [stdout, later] = [new Sink(), new Sink()]
  const { id, ended } = await workshop.containers.run(
    { image: busybox.name, network: 'none', autoRemove: true, log: { driver: 'none' }, attach: ['stdout'], command },
    busybox,
    { stdout },
  )
  await stdout.until(/ready/)
  const attached = workshop.containers.attach(id, { stdout: later })
  await workshop.containers.kill(id, 'TERM')
  assert.deepEqual(await Promise.all([attached, ended]), [
    { kind: 'exited', exitCode: 3 },
    { kind: 'exited', exitCode: 3 },
  ])
  assert.equal(later.text, 'bye\n')
})

for (const autoRemove of [true, false]) {
  const how = autoRemove ? 'that removes itself' : 'that stays'
  const options = (): Parameters<Workshop['containers']['run']>[0] => ({
    image: busybox.name,
    network: 'none',
    autoRemove,
    attach: ['stdout'],
    command: ['sh', '-c', 'trap "exit 3" TERM; echo ready; while :; do sleep 0.05; done'],
  })

  test(`restart() of a container ${how} ends what is attached with the code of that run, and lets it run again`, { skip }, async () => {
    const stdout = new Sink()
    const { id, ended } = await workshop.containers.run(options(), busybox, { stdout })
    await stdout.until(/ready/)
    const waited = workshop.containers.wait(id)
    await workshop.containers.restart(id)
    assert.deepEqual([await ended, await waited], [{ kind: 'exited', exitCode: 3 }, 3])
    assert.equal((await workshop.containers.inspect(id)).State.Running, true)
    await workshop.containers.stop(id)
    const left = (await workshop.containers.list({ all: true })).map(each => [each.id, each.status])
    assert.deepEqual(left, autoRemove ? [] : [[id, 'exited']])
    if (!autoRemove) await workshop.containers.remove(id)
    assert.deepEqual(remains(workshop), [])
  })

  test(`remove() by force of a container ${how} tells who is attached how it ended`, { skip }, async () => {
    const stdout = new Sink()
    const { id, ended } = await workshop.containers.run(options(), busybox, { stdout })
    await stdout.until(/ready/)
    await workshop.containers.remove(id, { force: true })
    assert.deepEqual(await ended, { kind: 'exited', exitCode: 137 })
  })
}
