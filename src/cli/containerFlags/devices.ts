import type { DeviceOptions } from '../../engine/index.ts'
import { invalidFlag } from './flagValues.ts'

/** Reads `hostPath[:containerPath][:access]`. */
export function readDevice(text: string): DeviceOptions {
  const isAccess = (part: string): boolean => /^(?!.*(.).*\1)[rwm]+$/.test(part)
  const [hostPath = '', second, third, ...rest] = text.split(':')
  if (!hostPath.startsWith('/') || rest.length > 0) throw invalidFlag(`--device "${text}"`, 'expected /host/path[:/container/path][:rwm]')
  if (second === undefined) return { hostPath, containerPath: hostPath, access: 'rwm' }
  if (third === undefined && isAccess(second)) return { hostPath, containerPath: hostPath, access: second }
  if (third !== undefined && !isAccess(third)) throw invalidFlag(`--device "${text}"`, `"${third}" is not made of r, w and m`)
  return { hostPath, containerPath: second === '' ? hostPath : second, access: third ?? 'rwm' }
}
