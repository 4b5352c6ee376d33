/* global page */

/** The close codes of the server, and those that browsers make up, in words. */
const CLOSE_CODES = {
  1000: 'closed as it was asked to',
  1001: 'the server had no answer to its ping',
  1002: 'the protocol was broken',
  1005: 'closed without a code',
  1006: 'the connection was lost, or never made',
  1007: 'text that is no UTF-8',
  1008: 'too slow, or the key was revoked',
  1009: 'a message that is too large',
  1012: 'the server is stopping'
}

/** Why a socket has closed, for people. */
const describeClose = ({ code, reason }) =>
  `Closed with code ${code}: ${CLOSE_CODES[code] ?? 'a code that only the sender knows'}${reason && ` (“${reason}”)`}`

/** What is sent is no JSON. The server answers with an error document, and the socket stays open. */
function onBroken(send) {
  const button = document.getElementById('broken')
  button.onclick = () => send('{"value": ')
}
