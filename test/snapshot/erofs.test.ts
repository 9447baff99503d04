import { testSnapshotter } from '../../src/testing/index.ts'

testSnapshotter({ name: 'erofs', module: new URL('erofsModule.ts', import.meta.url) })
