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
