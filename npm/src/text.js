/**
 * UTF-8, also where the classes for it are missing, as in the jsdom of Jest.
 */
const LONE_SURROGATE = /[\ud800-\udfff]/u

/** Whether UTF-8 can say it: it has no half of a surrogate pair. */
export const isWellFormed = (text) => !LONE_SURROGATE.test(text)

class Encoder {
  encode(text = '') {
    const wellFormed = text.replace(/[\ud800-\udfff]/gu, '\ufffd')
    return Uint8Array.from(unescape(encodeURIComponent(wellFormed)), (char) => char.charCodeAt(0))
  }
}

class Decoder {
  /** @throws {URIError} if it is no UTF-8 */
  decode(bytes = []) {
    let text = ''
    for (const byte of bytes) text += String.fromCharCode(byte)
    return decodeURIComponent(escape(text))
  }
}

export const Utf8Encoder = globalThis.TextEncoder ?? Encoder
export const Utf8Decoder = globalThis.TextDecoder ?? Decoder
