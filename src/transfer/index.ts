export { copyGraph, type CopyGraphOptions, documentSource, type GraphRoot, type GraphSink } from './copyGraph.ts'
export { pullImage, type PullImageOptions, type TransferStores } from './pullImage.ts'
export { type RemoteImage, resolveRemoteImage } from './remoteImage.ts'
export { RepositorySink, type RepositorySinkOptions } from './repositorySink.ts'
