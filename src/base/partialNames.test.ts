import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { partialName, removeLeftovers } from './partialNames.ts'

function directoryFor(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'strata-partial-'))
  t.after(() => rmSync(directory, { recursive: true }))
  return directory
}

/** The name that another process gives. */
async function nameOfAnother(place: string): Promise<{ readonly name: string; readonly end: () => Promise<void> }> {
  const code = `import(${JSON.stringify(import.meta.resolve('./partialNames.ts'))})
    .then(({ partialName }) => { console.log(partialName(${JSON.stringify(place)})); setInterval(() => undefined, 1000) })`
  const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return {
    name: line.toString().trim(),
    async end() {
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}

test('removeLeftovers() takes what a process has left as soon as that has ended, of the places that are meant', async t => {
  const directory = directoryFor(t)
  const another = await nameOfAnother(join(directory, 'x.tar'))
  const own = partialName(join(directory, 'x.tar'))
  const other = another.name.replace('x.tar', 'y.tar')
  const staged = `${another.name.slice(0, -8)}01234567`
  const notOurs = join(directory, 'x.tar.partial-0123456789ab')
  for (const path of [own, another.name, other, notOurs, join(directory, 'x.tar')]) writeFileSync(path, '')
  mkdirSync(join(staged, 'inside'), { recursive: true })
  const kept = async (): Promise<readonly string[]> => {
    await removeLeftovers(directory, place => place === 'x.tar')
    return readdirSync(directory).toSorted()
  }
  const all = [own, another.name, other, notOurs, staged, 'x.tar'].map(path => basename(path))
  assert.deepEqual(await kept(), all.toSorted())
  await another.end()
  assert.deepEqual(await kept(), [own, other, notOurs, 'x.tar'].map(path => basename(path)).toSorted())
})

test('removeLeftovers() leaves a day to processes that cannot be seen from here', async t => {
  const directory = directoryFor(t)
  const otherBoot = partialName(join(directory, 'x')).replace(/partial-[0-9a-f]{8}/, 'partial-00000000')
  const otherNamespace = partialName(join(directory, 'x')).replace(/(partial-[0-9a-f]{8})-[0-9a-z]*/, '$1-1')
  const inReach = async (hours: number): Promise<number> => {
    for (const path of [otherBoot, otherNamespace]) {
      writeFileSync(path, '')
      const at = Date.now() / 1000 - hours * 3600
      utimesSync(path, at, at)
    }
    await removeLeftovers(directory, () => true)
    return readdirSync(directory).length
  }
  assert.equal(await inReach(23), 2)
  assert.equal(await inReach(25), 0)
})

test('removeLeftovers() of a directory that is not there does nothing', async t => {
  await removeLeftovers(join(directoryFor(t), 'none'), () => true)
})
