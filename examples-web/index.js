/**
 * Passes the key and the thng on to the pages, behind `#`, where no server sees them; and shows the programs'
 * settings with the address of this server. Both can be given here in the same way: `#key=…&thng=…`; the key leaves the
 * address at once, and stays in this tab until it is closed.
 */
const { key, thng } = document.getElementById('settings').elements
const asked = new URLSearchParams(location.hash.slice(1))

function showLinks() {
  const given = new URLSearchParams()
  if (key.value && key.checkValidity()) given.set('key', key.value)
  if (thng.value.trim()) given.set('thng', thng.value.trim())
  for (const link of document.querySelectorAll('a[data-page]')) link.hash = given
}

key.value = asked.get('key') ?? sessionStorage.getItem('examples-api-key') ?? ''
thng.value = asked.get('thng') ?? ''
key.addEventListener('input', () => sessionStorage.setItem('examples-api-key', key.value))
for (const field of [key, thng]) {
  field.addEventListener('input', showLinks)
}
if (asked.has('key')) {
  sessionStorage.setItem('examples-api-key', key.value)
  asked.delete('key')
  history.replaceState(null, '', `${location.pathname}${location.search}${asked.size ? `#${asked}` : ''}`)
}
// A browser may fill them in again when one comes back to this page.
addEventListener('pageshow', showLinks)
document.getElementById('settings').addEventListener('submit', (event) => event.preventDefault())
showLinks()

// Where MQTT is, a page cannot know: the commands look for it at port 1883.
document.getElementById('settings-command').textContent =
  `export HTTP=${location.host} KEY=$(cat data/operator.key)${thng.value && ` THNG=${thng.value}`}`
