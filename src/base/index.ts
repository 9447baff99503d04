export { ChunkQueue } from './chunkQueue.ts'
export { KeyedMutex, mapConcurrently, SingleFlight } from './concurrency.ts'
export { deliverFile, wouldReplace } from './deliverFile.ts'
export { DURABLE, Durability } from './durability.ts'
export { cancellationOf, errnoOf, type ErrorDetails, type ErrorKind, isStrataError, StrataError, systemError } from './errors.ts'
export { compareFileNames, decodeFileName, encodeFileName } from './fileNames.ts'
export { makeDirectory, publishFile, readIfExists, syncDirectory, TemporaryDirectory } from './files.ts'
export { GrowingFile } from './growingFile.ts'
export { createLogger, type LogFields, type Logger, type LogLevel, silentLogger } from './log.ts'
export { packageDirectory, packageVersion } from './package.ts'
export { partialName, removeLeftovers } from './partialNames.ts'
export { pause } from './pause.ts'
export { findProgram, type ProgramOptions, type ProgramResult, runProgram } from './processes.ts'
export { currentBoot, currentProcess, identityOf, isAlive, type ProcessIdentity, thisOwner } from './processOwner.ts'
export type { CallOptions, Progress, ProgressListener } from './progress.ts'
export {
  arriving,
  type ByteStream,
  CHUNK_BYTES,
  drain,
  fileStream,
  interruptible,
  lent,
  observed,
  readAtMost,
  release,
  sliceOf,
  streamOf,
} from './streams.ts'
export { TimeSlices } from './timeSlices.ts'
