import { StrataError } from '../base/index.ts'
import type { Engine } from './engine.ts'
import type { EngineOptions } from './engineOptions.ts'

/** Opens an installation, and makes it where there is none. */
export function openEngine(options: EngineOptions = {}): Promise<Engine> {
  const root = options.root ?? 'the default root'
  return Promise.reject(new StrataError('unsupported', 'STRATA_NO_ENGINE', `Cannot open "${root}": this build has no engine`))
}
