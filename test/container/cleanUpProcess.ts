/*
 * What conmon runs in these tests after a container's end: `<root> <run directory> <storage driver> container cleanup <id>`.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { openWorkshop } from './workshop.ts'

const [root = '', runDirectory = '', driver = '', , , id = ''] = process.argv.slice(2)
// A test that has ended has taken its root away: it is not made anew.
if (existsSync(join(root, 'meta.db'))) {
  const workshop = await openWorkshop({ root, runDirectory, driver })
  await workshop.containers.cleanUp(id)
}
process.exit(0)
