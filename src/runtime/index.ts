export { attach, type Attachment, type OutputChunk, resizeTerminal } from './attachment.ts'
export { planBundle, writeBundle } from './bundle.ts'
export type {
  BundleDevice,
  BundleMount,
  BundleOptions,
  NamespaceOptions,
  ProcessOptions,
  ResourceOptions,
  RuntimeFacts,
  Ulimit,
} from './bundleOptions.ts'
export type { CgroupFacts, CgroupLayout } from './cgroups.ts'
export { type ContainerExit, readExit, waitExit } from './containerExit.ts'
export { type LogOptions, type LogRecord, readLog } from './containerLog.ts'
export type { ForegroundProcess, ForegroundStdio, ForegroundStream } from './foreground.ts'
export { readRuntimeFacts } from './hostFacts.ts'
export {
  type MonitoredContainer,
  type MonitoredExec,
  type MonitoredProcess,
  type MonitoredSession,
  type Monitor,
  openMonitor,
} from './monitor.ts'
export { type OciRuntime, openRuntime, type RuntimeOptions, type RuntimeState } from './ociRuntime.ts'
export { planProcess } from './processPlan.ts'
export { planResources } from './resources.ts'
export type {
  ConsoleSize,
  RuntimeDevice,
  RuntimeDeviceRule,
  RuntimeProcess,
  RuntimeResources,
  RuntimeSpec,
  RuntimeUser,
  SeccompProfile,
} from './runtimeSpec.ts'
export { parseSeccompProfile } from './seccompProfile.ts'
export { parseSignal } from './signals.ts'
export { type ResolvedUser, resolveUser } from './user.ts'
