export { changeConfig } from './configChanges.ts'
export { type ImageFacts, type ImageRecord, ImageStore } from './imageStore.ts'
export { ImageUnpack, type UnpackOptions, type UnpackStores } from './imageUnpack.ts'
