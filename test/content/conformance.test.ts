import { testContentStore } from '../../src/testing/index.ts'

testContentStore({ name: 'DiskContentStore', module: new URL('diskStoreModule.ts', import.meta.url) })
