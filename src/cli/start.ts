import { StrataError } from '../base/index.ts'
import { giveUp } from './giveUp.ts'
import { main } from './main.ts'
import { processSurroundings } from './surroundings.ts'

/* The program, as opposed to the function `main` that tests call. `bin/start.cjs` imports it. */

// What nothing caught is a fault of this program; people still get one line and no stack.
process.on('uncaughtException', giveUp)

// Node ends, as if all had been done, a process that waits for something that cannot come any more.
process.once('beforeExit', () =>
  giveUp(new StrataError('internal', 'STRATA_UNFINISHED', 'Cannot finish: what the command waits for never comes')),
)

void main(process.argv.slice(2), processSurroundings()).then(status => {
  // A read of the terminal that is still under way keeps a process alive that has nothing left to do.
  // Errors of the last writes come first: they are told in the next turn.
  setImmediate(() => process.exit(status))
})
