import { main } from './main.ts'
import { processSurroundings } from './surroundings.ts'

/* The program, as opposed to the function `main` that tests call. `bin/start.js` imports it. */

// A reader that has left (`strata images | head -1`) ends the command as SIGPIPE ends others.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(141)
    throw error
  })
}

const status = await main(process.argv.slice(2), processSurroundings())
// A read of the terminal that is still under way keeps a process alive that has nothing left to do.
process.exit(status)
