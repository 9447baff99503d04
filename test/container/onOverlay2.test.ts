/*
 * What containers do with their layers, on overlay2 as well: it is the driver where erofs does not work, and not the default
 * where it does. The other tests of this folder are on the default.
 */
process.env['STRATA_TEST_DRIVER'] = 'overlay2'

await import('./volumesAndLayers.test.ts')
await import('./files.test.ts')
