/**
 * Bytes as a string of printable characters that compresses nearly as well as the bytes do.
 *
 * Base64 spreads a byte over two characters, after which gzip finds little: the module would travel a third larger.
 * Here every byte is written for itself, in base 89: a low one, which is most of WebAssembly, as one character, a
 * higher one as a mark and a character. The characters are those of ASCII that mean nothing in a string or in HTML,
 * so the text survives every charset, every minifier and being put into a page.
 */
const MARKS = '~`'
const DIGITS = Array.from({ length: 95 }, (_, at) => String.fromCharCode(32 + at))
  .filter((char) => !`${MARKS}"'\\<`.includes(char))
  .join('')

/** @param {Uint8Array} bytes */
export function pack(bytes) {
  const base = DIGITS.length
  return Array.from(bytes, (byte) => {
    const mark = Math.floor(byte / base)
    return (mark ? MARKS[mark - 1] : '') + DIGITS[byte % base]
  }).join('')
}

/** @param {string} text */
export function unpack(text) {
  const values = new Uint8Array(128)
  for (let at = 0; at < DIGITS.length; at++) values[DIGITS.charCodeAt(at)] = at
  for (let at = 0; at < MARKS.length; at++) values[MARKS.charCodeAt(at)] = (at + 1) * DIGITS.length
  const bytes = new Uint8Array(text.length)
  let length = 0
  for (let at = 0; at < text.length; at++) {
    let byte = values[text.charCodeAt(at)]
    if (byte >= DIGITS.length) byte += values[text.charCodeAt(++at)]
    bytes[length++] = byte
  }
  return bytes.subarray(0, length)
}
