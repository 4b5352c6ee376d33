/** The list of actions. */
import type { Action } from 'thng-pubsub'

const ROWS_MAX = 100

export class ActionList {
  readonly #list: HTMLElement
  readonly #empty: HTMLElement

  constructor(list: HTMLElement, empty: HTMLElement) {
    this.#list = list
    this.#empty = empty
  }

  add(action: Action): void {
    // The newest action may come twice: as the current state, and as an update.
    if (this.#list.querySelector(`[data-id="${CSS.escape(action.id)}"]`)) return
    const row = document.createElement('li')
    row.dataset.id = action.id
    const details = Object.keys(action.customFields).length ? JSON.stringify(action.customFields) : action.id
    row.append(cell('strong', action.type), cell('time', timeOf(action.timestamp)), cell('span', details))
    this.#list.prepend(row)
    while (this.#list.children.length > ROWS_MAX) this.#list.lastElementChild?.remove()
    this.#empty.hidden = true
  }

  clear(): void {
    this.#list.replaceChildren()
    this.#empty.hidden = false
  }
}

export const timeOf = (timestamp: number): string => new Date(timestamp).toLocaleTimeString([], { hour12: false })

function cell(name: string, text: string): HTMLElement {
  const made = document.createElement(name)
  made.textContent = text
  return made
}
