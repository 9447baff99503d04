export { type ChosenGraph, choosePlatforms } from './choosePlatforms.ts'
export { compressedType } from './compressedType.ts'
export { copyGraph, type CopyGraphOptions, documentSource, type GraphRoot, type GraphSink, withRoot } from './copyGraph.ts'
export { ContentSink } from './contentSink.ts'
export { reportSkipped } from './foreignLayer.ts'
export { GraphWalk } from './graphWalk.ts'
export type { ImageSource } from './imageSource.ts'
export { pullImage, type TransferStores } from './pullImage.ts'
export {
  forwardReferrers,
  isReferrersTag,
  type KeptReferrer,
  ReferrerIntake,
  referrersOf,
  type ReferrerTarget,
  sendReferrers,
} from './referrers.ts'
export { choosePlatformImage, type RemoteImage, resolveRemoteImage } from './remoteImage.ts'
export { reportedSink } from './reportedSink.ts'
export { readSignatures, type SignatureManifest } from './readSignatures.ts'
export { RemoteSignatures } from './remoteSignatures.ts'
export { RepositorySink, type RepositorySinkOptions } from './repositorySink.ts'
export { sentAgain } from './sentAgain.ts'
export { parseTransport, type Transport } from './transport.ts'
export { takeGraph, type TakeGraphOptions, type TakenImage } from './takeGraph.ts'
