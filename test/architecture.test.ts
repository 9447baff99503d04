import assert from 'node:assert/strict'
import { glob, readFile } from 'node:fs/promises'
import { dirname, join, sep } from 'node:path'
import { test } from 'node:test'

/** The floors of ARCHITECTURE.md, from the ground up: a part imports parts on strictly lower floors. */
const FLOORS: readonly (readonly string[])[] = [
  ['base'],
  ['oci', 'tar', 'compression', 'dockerfile', 'erofs', 'signature', 'toc'],
  ['host'],
  ['layer', 'union'],
  ['content', 'metadata', 'layers', 'snapshot', 'image'],
  ['registry', 'transfer', 'archive', 'serve', 'explore', 'runtime', 'network', 'container', 'build'],
  ['engine'],
  ['cli'],
]

/** Edges inside one floor that the architecture names. */
const SAME_FLOOR: ReadonlySet<string> = new Set([
  'signature -> oci',
  'union -> layer',
  'layers -> content',
  'layers -> metadata',
  'snapshot -> metadata',
  'snapshot -> layers',
  'image -> content',
  'image -> metadata',
  'image -> layers',
  'image -> snapshot',
  'content -> metadata',
  'transfer -> registry',
  'archive -> transfer',
  'serve -> registry',
  'serve -> transfer',
  'container -> runtime',
  'container -> network',
])

const floorOf = (part: string): number => FLOORS.findIndex(parts => parts.includes(part))
const partOf = (file: string): string => file.split(sep)[1]!

interface Edge {
  readonly file: string
  readonly from: string
  readonly to: string
  readonly target: string
}

async function importEdges(): Promise<readonly Edge[]> {
  const edges: Edge[] = []
  for await (const file of glob('src/**/*.ts')) {
    // Tests and the public conformance suites may look at everything; only what ships has floors.
    if (file.endsWith('.test.ts') || partOf(file) === 'testing') continue
    const source = await readFile(file, 'utf8')
    for (const [, specifier = ''] of source.matchAll(/\b(?:from|import)\s*\(?\s*'(\.[^']+)'/g)) {
      const target = join(dirname(file), specifier)
      edges.push({ file, from: partOf(file), to: partOf(target), target })
    }
  }
  assert.ok(edges.length > 10, 'the walk finds imports')
  return edges.filter(edge => edge.from !== edge.to)
}

test('every part of src/ stands on a floor', async () => {
  for (const edge of await importEdges()) {
    assert.notEqual(floorOf(edge.from), -1, `${edge.from} has no floor`)
    assert.notEqual(floorOf(edge.to), -1, `${edge.to} has no floor`)
  }
})

test('a part imports only parts on lower floors', async () => {
  const wrong = (await importEdges())
    .filter(({ from, to }) => floorOf(from) <= floorOf(to) && !SAME_FLOOR.has(`${from} -> ${to}`))
    .map(({ file, target }) => `${file} -> ${target}`)
  assert.deepEqual(wrong, [])
})

test('a part is imported through its index.ts', async () => {
  const wrong = (await importEdges())
    .filter(({ target }) => !/^src\/[^/]+\/index\.ts$/.test(target))
    .map(({ file, target }) => `${file} -> ${target}`)
  assert.deepEqual(wrong, [])
})

test('no file is a drawer for everything', async () => {
  const drawers: string[] = []
  for await (const file of glob('src/**/{utils,util,helpers,common,misc,types}.ts')) drawers.push(file)
  assert.deepEqual(drawers, [])
})

test('Node’s process, network and disk stay out of the parts that parse', async () => {
  const wrong: string[] = []
  for (const part of FLOORS[1]!) {
    for await (const file of glob(`src/${part}/**/*.ts`)) {
      if (file.endsWith('.test.ts')) continue
      const source = await readFile(file, 'utf8')
      for (const [, name = ''] of source.matchAll(/from 'node:([a-z/_]+)'/g)) {
        if (!['buffer', 'crypto', 'stream', 'stream/promises', 'util', 'zlib'].includes(name)) wrong.push(`${file} -> node:${name}`)
      }
    }
  }
  assert.deepEqual(wrong, [])
})
