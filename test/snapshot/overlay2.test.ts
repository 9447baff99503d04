import { testSnapshotter } from '../../src/testing/index.ts'

testSnapshotter({ name: 'overlay2', module: new URL('overlay2Module.ts', import.meta.url) })
