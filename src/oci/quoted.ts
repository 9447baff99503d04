const LONGEST = 120

/**
 * Text from outside as it may stand in a message: in double quotes, cut to 120 characters, with every character
 * outside printable ASCII escaped, so that it can neither steer a terminal nor pass for another text.
 */
export function quoted(text: string): string {
  const shown = text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text
  const escaped = JSON.stringify(shown.replace(/…$/, '')).replace(
    /[^\x20-\x7e]/g,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  return shown === text ? escaped : `${escaped.slice(0, -1)}…"`
}
