/**
 * The command line itself is wrong. `flag`: a flag or its value (docker ends with 125);
 * `operands`: too few or too many of them (docker ends with 1).
 */
export class UsageError extends Error {
  readonly fault: 'flag' | 'operands'

  constructor(message: string, fault: 'flag' | 'operands') {
    super(message)
    this.name = 'UsageError'
    this.fault = fault
  }
}
