/** Whether a kernel release (`6.1.0-18-amd64`) is of this version or a younger one. */
export function isKernelSince(release: string, major: number, minor: number): boolean {
  const [, first = '0', second = '0'] = /^(\d+)\.(\d+)/.exec(release) ?? []
  return Number(first) > major || (Number(first) === major && Number(second) >= minor)
}
