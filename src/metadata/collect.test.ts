import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import * as fc from 'fast-check'
import { collect, type Collectable, Leases, type Metadata, openMetadata, type Resource, Trash } from './index.ts'

const scratch = mkdtempSync(join(tmpdir(), 'strata-collect-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

let databases = 0
function newMetadata(): Metadata {
  databases += 1
  return openMetadata(join(scratch, `${databases}.db`))
}

/** Things that live in a map: id → what it references. */
function thingsIn(things: Map<string, readonly string[]>, events: string[] = []): Collectable {
  return {
    kind: 'thing',
    list: () => [...things.keys()],
    references: id => (things.get(id) ?? []).map(other => ({ kind: 'thing', id: other })),
    drop(id) {
      events.push(`drop ${id}`)
      things.delete(id)
    },
    async destroy(id) {
      events.push(`destroy ${id}`)
    },
  }
}

const thing = (id: string): Resource => ({ kind: 'thing', id })

test('collect() removes exactly what neither roots nor leases reach, through cycles and names of absent things', async () => {
  using metadata = newMetadata()
  const leases = new Leases(metadata)
  const lease = leases.create()
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.nat(12), { maxLength: 3 }), { maxLength: 10 }),
      fc.array(fc.nat(12), { maxLength: 2 }),
      fc.array(fc.nat(12), { maxLength: 2 }),
      async (graph, roots, leased) => {
        metadata.run('DELETE FROM lease_resources')
        for (const id of leased) lease.add(thing(String(id)))
        const things = new Map(graph.map((edges, id) => [String(id), edges.map(String)]))
        const reached = new Set<number>()
        const visit = (id: number): void => {
          if (reached.has(id)) return
          reached.add(id)
          for (const next of graph[id] ?? []) visit(next)
        }
        for (const id of [...roots, ...leased]) visit(id)
        const expected = [...graph.keys()].filter(id => !reached.has(id)).map(id => thing(String(id)))

        const removed = await collect({ metadata, leases, kinds: [thingsIn(things)], roots: () => roots.map(id => thing(String(id))) })
        assert.deepEqual(removed, expected)
        assert.deepEqual([...things.keys()], [...graph.keys()].filter(id => reached.has(id)).map(String))
      },
    ),
  )
})

test('collect() follows references from one kind to another', async () => {
  using metadata = newMetadata()
  const leases = new Leases(metadata)
  const things = new Map<string, readonly string[]>([
    ['needed', []],
    ['not needed', []],
  ])
  const names: Collectable = { kind: 'name', list: () => ['a'], references: () => [thing('needed')], drop: () => assert.fail('a root') }
  const removed = await collect({ metadata, leases, kinds: [names, thingsIn(things)], roots: () => [{ kind: 'name', id: 'a' }] })
  assert.deepEqual(removed, [thing('not needed')])
})

test('collect() destroys only after all records are gone for good', async () => {
  using metadata = newMetadata()
  const events: string[] = []
  const things = new Map([
    ['a', []],
    ['b', []],
  ])
  await collect({ metadata, leases: new Leases(metadata), kinds: [thingsIn(things, events)], roots: () => [] })
  assert.deepEqual(events, ['drop a', 'drop b', 'destroy a', 'destroy b'])
})

test('collect() destroys nothing when a record cannot be dropped', async () => {
  using metadata = newMetadata()
  metadata.migrate('things', ['CREATE TABLE things (id TEXT) STRICT'])
  metadata.run("INSERT INTO things VALUES ('a'), ('b')")
  const kind: Collectable = {
    kind: 'thing',
    list: () => metadata.all<{ id: string }>('SELECT id FROM things ORDER BY id').map(row => row.id),
    references: () => [],
    drop(id) {
      if (id === 'b') throw new Error('no')
      metadata.run('DELETE FROM things WHERE id = ?', id)
    },
    destroy: async () => assert.fail('nothing was dropped'),
  }
  await assert.rejects(collect({ metadata, leases: new Leases(metadata), kinds: [kind], roots: () => [] }), { message: 'no' })
  assert.equal(metadata.all('SELECT * FROM things').length, 2)
})

test('Trash takes files and trees away at once, and empties itself of what a crash left', async () => {
  const root = join(scratch, 'root')
  mkdirSync(join(root, 'tree', 'deep'), { recursive: true })
  writeFileSync(join(root, 'file'), 'x')
  const trash = new Trash(root)
  trash.moveAside(join(root, 'tree'))
  trash.moveAside(join(root, 'file'))
  trash.moveAside(join(root, 'absent'))
  assert.deepEqual(readdirSync(root), ['trash'])
  assert.equal(readdirSync(join(root, 'trash')).length, 2)
  await Promise.all([new Trash(root).empty(), new Trash(root).empty()])
  assert.deepEqual(readdirSync(join(root, 'trash')), [])
  assert.ok(existsSync(join(root, 'trash')))
})
