import { constants } from 'node:os'
import { getSystemErrorMessage } from 'node:util'

/** The errors that calls on a union can fail with; their names are those of errno(3), and ENOTSUP as Linux's EOPNOTSUPP is called here. */
export type FileErrorCode = keyof typeof constants.errno

/** An error of the shape of Node's own: `code`, `errno`, `syscall`, `path`, and `dest` for calls with two paths. */
export function fileError(code: FileErrorCode, syscall: string, path: string, dest?: string): NodeJS.ErrnoException {
  const errno = -constants.errno[code]
  const where = dest === undefined ? `'${path}'` : `'${path}' -> '${dest}'`
  return Object.assign(new Error(`${code}: ${getSystemErrorMessage(errno)}, ${syscall} ${where}`), {
    code,
    errno,
    syscall,
    path,
    ...(dest === undefined ? {} : { dest }),
  })
}
