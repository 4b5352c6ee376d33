/**
 * A plot of the world, on which one degree is as long everywhere (equirectangular), with a graticule and without land:
 * where the thng was, and where it is. A click, or the keyboard, chooses a place.
 */

export interface Place {
  latitude: number
  longitude: number
}

const SVG = 'http://www.w3.org/2000/svg'

/** Degrees between two lines of the graticule. */
const GRATICULE = 30

/** How many places of the way are drawn. */
const TRAIL_MAX = 100

/** Degrees that the cross moves with an arrow key, and together with Shift. */
const STEP = 5
const STEP_FINE = 0.5

const ARROWS: Record<string, [longitude: number, latitude: number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, 1],
  ArrowDown: [0, -1]
}

export class WorldMap {
  readonly #svg = element('svg', { viewBox: '-180 -90 360 180', tabindex: 0, role: 'application' })
  readonly #trail = element('polyline', { class: 'trail' })
  readonly #here = element('circle', { class: 'here', visibility: 'hidden' })
  readonly #cross = element('path', { class: 'cross' })
  readonly #choose: (place: Place) => void
  #places: Place[] = []
  #cursor: Place = { latitude: 0, longitude: 0 }

  constructor(box: HTMLElement, choose: (place: Place) => void) {
    this.#choose = choose
    this.#svg.append(...graticule(), this.#trail, this.#here, this.#cross)
    box.append(this.#svg)
    // How many units of the drawing a pixel is, for what has the same size on every screen.
    new ResizeObserver(() => {
      this.#svg.style.setProperty('--pixel', String(360 / Math.max(this.#svg.clientWidth, 1)))
    }).observe(this.#svg)
    this.#svg.addEventListener('click', (event) => {
      this.#moveCross(this.#placeOf(event))
      this.#choose(this.#cursor)
    })
    this.#svg.addEventListener('keydown', (event) => this.#onKey(event))
    this.#moveCross(this.#cursor)
  }

  /** Adds where the thng is now. */
  add(place: Place): void {
    this.#places = [...this.#places, place].slice(-TRAIL_MAX)
    this.#trail.setAttribute('points', this.#places.map(pointOf).join(' '))
    this.#here.setAttribute('cx', String(place.longitude))
    this.#here.setAttribute('cy', String(-place.latitude))
    this.#here.setAttribute('visibility', 'visible')
  }

  clear(): void {
    this.#places = []
    this.#trail.setAttribute('points', '')
    this.#here.setAttribute('visibility', 'hidden')
  }

  #onKey(event: KeyboardEvent): void {
    const arrow = ARROWS[event.key]
    if (arrow) {
      const step = event.shiftKey ? STEP_FINE : STEP
      const { latitude, longitude } = this.#cursor
      this.#moveCross({ latitude: latitude + step * arrow[1], longitude: longitude + step * arrow[0] })
    } else if (event.key === 'Enter') {
      this.#choose(this.#cursor)
    } else {
      return
    }
    event.preventDefault()
  }

  #moveCross({ latitude, longitude }: Place): void {
    this.#cursor = { latitude: clamp(latitude, 90), longitude: clamp(longitude, 180) }
    const [x, y] = [this.#cursor.longitude, -this.#cursor.latitude]
    this.#cross.setAttribute('d', `M${x - 5} ${y}h10M${x} ${y - 5}v10`)
    this.#svg.ariaLabel =
      `Map of the world, cross at ${describe(this.#cursor)}. ` + 'The arrow keys move it, and Enter publishes it.'
  }

  #placeOf({ clientX, clientY }: MouseEvent): Place {
    const { left, top, width, height } = this.#svg.getBoundingClientRect()
    const round = (degrees: number): number => Math.round(degrees * 10) / 10
    return {
      latitude: round(90 - ((clientY - top) / height) * 180),
      longitude: round(((clientX - left) / width) * 360 - 180)
    }
  }
}

/** `47.4° N, 8.5° E` */
export function describe({ latitude, longitude }: Place): string {
  return `${degrees(latitude, 'N', 'S')}, ${degrees(longitude, 'E', 'W')}`
}

const degrees = (value: number, positive: string, negative: string): string =>
  `${Number(Math.abs(value).toFixed(4))}°${value === 0 ? '' : ` ${value > 0 ? positive : negative}`}`

const pointOf = ({ latitude, longitude }: Place): string => `${longitude},${-latitude}`

const clamp = (value: number, limit: number): number => Math.min(Math.max(value, -limit), limit)

function graticule(): SVGElement[] {
  const drawn: SVGElement[] = []
  const draw = (path: string, isAxis: boolean): void => {
    drawn.push(element('path', { d: path, class: isAxis ? 'axis' : 'line' }))
  }
  const label = (x: number, y: number, text: string): void => {
    const drawnLabel = element('text', { x, y })
    drawnLabel.textContent = text
    drawn.push(drawnLabel)
  }
  for (let longitude = -180 + GRATICULE; longitude < 180; longitude += GRATICULE) {
    draw(`M${longitude} -90v180`, longitude === 0)
    if (longitude % (2 * GRATICULE) === 0) label(longitude, 88, degrees(longitude, 'E', 'W'))
  }
  for (let latitude = -90 + GRATICULE; latitude < 90; latitude += GRATICULE) {
    draw(`M-180 ${-latitude}h360`, latitude === 0)
    label(-178, -latitude - 2, degrees(latitude, 'N', 'S'))
  }
  return drawn
}

function element<Name extends keyof SVGElementTagNameMap>(
  name: Name,
  attributes: Record<string, string | number>
): SVGElementTagNameMap[Name] {
  const made = document.createElementNS(SVG, name)
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, String(value))
  return made
}
