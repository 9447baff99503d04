import { systemError } from '../base/index.ts'
import { formatError } from './errors.ts'
import { main } from './main.ts'
import { processSurroundings } from './surroundings.ts'

/* The program, as opposed to the function `main` that tests call. `bin/start.js` imports it. */

function giveUp(error: unknown): never {
  process.stderr.write(`${formatError(error)}\n`)
  process.exit(1)
}

// What nothing caught is a fault of this program; people still get one line and no stack.
process.on('uncaughtException', giveUp)

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    // A reader that has left (`strata images | head -1`) ends the command as SIGPIPE ends others.
    if (error.code === 'EPIPE') process.exit(141)
    giveUp(systemError('write the output', error))
  })
}

void main(process.argv.slice(2), processSurroundings()).then(status => {
  // A read of the terminal that is still under way keeps a process alive that has nothing left to do.
  // Errors of the last writes come first: they are told in the next turn.
  setImmediate(() => process.exit(status))
})
