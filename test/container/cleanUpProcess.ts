/*
 * What conmon runs in these tests after a container's end: `<root> <run directory> container cleanup <id>`.
 */
import { openWorkshop } from './workshop.ts'

const [root = '', runDirectory = '', , , id = ''] = process.argv.slice(2)
const workshop = await openWorkshop({ root, runDirectory })
await workshop.containers.cleanUp(id)
process.exit(0)
