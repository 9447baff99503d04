import { testSnapshotter } from '../../src/testing/index.ts'

testSnapshotter({ name: 'vfs', module: new URL('vfsModule.ts', import.meta.url) })
