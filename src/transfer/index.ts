export { pullImage, type PullImageOptions, type TransferStores } from './pullImage.ts'
export { type ImageToPush, pushImage, type PushImageOptions } from './pushImage.ts'
export { type RemoteImage, resolveRemoteImage } from './remoteImage.ts'
