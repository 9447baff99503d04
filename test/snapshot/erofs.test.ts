import { testSnapshotter } from '../../src/testing/index.ts'

// Not in /tmp, which may be a tmpfs (Debian 13): EROFS mounts no file of one.
testSnapshotter({ name: 'erofs', module: new URL('erofsModule.ts', import.meta.url), directory: '/var/tmp' })
