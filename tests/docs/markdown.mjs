/**
 * Reads a document: its fenced blocks with their surroundings, its headings, links and tables.
 */

const FENCE = /^( *)(`{3,}|~{3,})\s*(.*)$/
const COMMENT = /^<!--\s*(.*?)\s*-->$/

/**
 * @typedef {object} Block
 * @property {number} line - The line of its first fence, from 1.
 * @property {string} language - The first word behind the fence.
 * @property {string[]} words - The others, which only the source shows.
 * @property {string} text - What is between the fences.
 * @property {number} section - How many headings precede it.
 * @property {boolean} isAdjacent - Whether nothing but blank lines is between it and the block before.
 * @property {{ reason: string } | undefined} marker - The comment before it that says that it is not run, and why.
 */

/** Reads a document. */
export function read(text) {
  const document = { blocks: [], headings: [], links: [], tables: [], faults: [] }
  const lines = text.split('\n')
  let marker
  let isAdjacent = false
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at]
    const fence = FENCE.exec(line)
    if (fence) {
      const block = readBlock(lines, at, fence)
      if (!block) {
        document.faults.push({ line: at + 1, what: 'this block has no end' })
        break
      }
      document.blocks.push({ ...block, section: document.headings.length, isAdjacent, marker })
      at = block.end
      marker = undefined
      isAdjacent = true
      continue
    }
    if (!line.trim()) continue
    if (marker) document.faults.push({ line: marker.line, what: 'a marker stands before a block' })
    marker = undefined
    isAdjacent = false
    const [, comment] = COMMENT.exec(line.trim()) ?? []
    if (comment?.startsWith('not run')) marker = { line: at + 1, reason: comment.replace(/^not run:?\s*/, '') }
    readLine(document, line, at + 1)
  }
  if (marker) document.faults.push({ line: marker.line, what: 'a marker stands before a block' })
  return document
}

function readBlock(lines, at, [, indent, fence, info]) {
  const isEnd = (line) => line.trim().startsWith(fence) && /^[`~]+$/.test(line.trim())
  const end = lines.findIndex((line, index) => index > at && isEnd(line))
  if (end < 0) return undefined
  const inside = lines.slice(at + 1, end)
  const text = inside.map((line) => (line.startsWith(indent) ? line.slice(indent.length) : line.trimStart())).join('\n')
  const [language = '', ...words] = info.trim().split(/\s+/)
  return { line: at + 1, language, words, text, end }
}

function readLine(document, line, number) {
  const [, heading] = /^#{1,6}\s+(.*)$/.exec(line) ?? []
  if (heading) document.headings.push(anchor(heading, document.headings))
  if (line.startsWith('|')) {
    const cells = line.replace(/^\||\|\s*$/g, '').split(/(?<!\\)\|/).map((cell) => cell.trim())
    document.tables.push({ line: number, cells })
  }
  const withoutCode = line.replace(/`[^`]*`/g, '')
  for (const [, target] of withoutCode.matchAll(/\]\(([^)\s]+)\)/g)) document.links.push({ line: number, target })
}

/** What a link calls a heading: as the hosts of repositories make it. */
function anchor(heading, before) {
  const text = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
  const name = text.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, '').replace(/\s/g, '-')
  const same = before.filter((other) => other === name || other.replace(/-\d+$/, '') === name).length
  return same ? `${name}-${same}` : name
}
