import { runProgram, StrataError } from '../base/index.ts'
import type { Installation } from './installation.ts'
import { type ContainerRecord, hasProcess } from './record.ts'
import type { ProcessTable } from './requests.ts'
import { notRunning } from './stop.ts'

/** The rows of the host's `ps` that are processes of the container. */
export async function topOfContainer(
  installation: Installation,
  record: ContainerRecord,
  psArguments: readonly string[] = ['-ef'],
): Promise<ProcessTable> {
  if (!hasProcess(record.state)) throw notRunning(record, 'list the processes of')
  const pids = new Set((await (await installation.runtime()).processes(record.id)).map(String))
  const { code, stdout, stderr } = await runProgram('ps', psArguments.length === 0 ? ['-ef'] : psArguments)
  if (code !== 0) throw failed(record, stderr.trim().split('\n', 1)[0] ?? '')
  const [head = '', ...lines] = stdout.split('\n').filter(line => line.trim() !== '')
  const titles = head.trim().split(/\s+/)
  const pidColumn = titles.indexOf('PID')
  if (pidColumn === -1) throw failed(record, 'the output of ps has no column PID')
  const rows = lines.map(line => splitRow(line, titles.length))
  return { titles, processes: rows.filter(row => pids.has(row[pidColumn] ?? '')) }
}

/** The last column, the command, may have spaces in it. */
function splitRow(line: string, columns: number): readonly string[] {
  const fields = line.trim().split(/\s+/)
  return [...fields.slice(0, columns - 1), fields.slice(columns - 1).join(' ')]
}

function failed({ name }: ContainerRecord, state: string): StrataError {
  return new StrataError('invalidArgument', 'STRATA_PS_FAILED', `Cannot list the processes of container "${name}": ${state || 'ps failed'}`)
}
