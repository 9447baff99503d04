import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { pageOf } from './pages.ts'

test('pageOf() gives all items once, in order, page by page', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.stringMatching(/^[a-zA-Z0-9_.-]{1,8}$/)), fc.integer({ min: 1, max: 5 }), (items, count) => {
      const found: string[] = []
      for (let query: string | undefined = `n=${count}`; query !== undefined;) {
        const page = pageOf(items, new URLSearchParams(query))
        assert.ok(page.items.length <= count)
        found.push(...page.items)
        query = page.next
      }
      assert.deepEqual(
        found,
        [...items].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
      )
    }),
  )
})

test('pageOf() refuses what is no count', () => {
  for (const n of ['-1', '1.5', 'x', '', ' 1', '0x10']) assert.throws(() => pageOf([], new URLSearchParams({ n })), { status: 400 }, n)
  assert.deepEqual(pageOf(['a'], new URLSearchParams({ n: '9'.repeat(40) })).items, ['a'])
})
