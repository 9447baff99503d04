/** A password before a host: what follows the last "@" is no digest, which has neither of these characters. */
const PASSWORD = /^((?:[a-z][a-z0-9+.-]*:(?:\/\/)?)?[^/:@]*):.*@(?=[^@]*[/.]|localhost)/is

/** A name of an image as people typed it, to be shown: `user:password@host/app` is no name of one, and is shown without the password. */
export function withoutPassword(text: string): string {
  return text.replace(PASSWORD, '$1:…@')
}
