/** The chart of the temperature. */
import uPlot from 'uplot'

import type { PropertyValue } from 'thng-pubsub'

/** How many values are drawn; older ones leave. A phone draws as many without effort. */
const POINTS_MAX = 600

export class Chart {
  readonly #box: HTMLElement
  readonly #plot: uPlot
  /** The values by their time, so that one that comes twice, or late, is drawn once and in its place. */
  #points = new Map<number, number>()

  constructor(box: HTMLElement) {
    this.#box = box
    this.#plot = new uPlot(options(box), [[], []], box)
    new ResizeObserver(() => this.#plot.setSize(sizeOf(box))).observe(box)
    // The colors are those of the page, and a canvas does not change them by itself.
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#plot.redraw())
  }

  add(updates: PropertyValue[]): void {
    for (const { timestamp, value } of updates) {
      if (typeof value === 'number') this.#points.set(timestamp, value)
    }
    const points = [...this.#points].sort(([a], [b]) => a - b).slice(-POINTS_MAX)
    this.#points = new Map(points)
    this.#plot.setData([points.map(([timestamp]) => timestamp / 1000), points.map(([, value]) => value)])
    const latest = points.at(-1)
    const count = points.length === 1 ? '1 value' : `${points.length} values`
    this.#box.ariaLabel = `Chart of the temperature: ${latest ? `${count}, the latest is ${latest[1]}` : 'no values yet'}`
  }

  clear(): void {
    this.#points.clear()
    this.add([])
  }
}

const sizeOf = (box: HTMLElement): { width: number; height: number } => ({
  width: box.clientWidth,
  height: Math.max(box.clientHeight, 120)
})

function options(box: HTMLElement): uPlot.Options {
  const colour = (name: string) => () => getComputedStyle(box).getPropertyValue(name)
  const axis: uPlot.Axis = {
    stroke: colour('--muted'),
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { stroke: colour('--line'), width: 1 },
    font: '12px system-ui, sans-serif'
  }
  return {
    ...sizeOf(box),
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false } },
    scales: {
      x: { range: (_, min, max) => atLeastAMinute(min, max) },
      y: { range: (_, min, max) => uPlot.rangeNum(min ?? 0, max ?? 30, { min: { pad: 0.1 }, max: { pad: 0.1 } }) }
    },
    axes: [
      { ...axis, size: 32, values: TIMES },
      { ...axis, size: 48 }
    ],
    series: [
      {},
      {
        label: 'Temperature',
        stroke: colour('--accent'),
        fill: colour('--accent-soft'),
        width: 2,
        points: { size: 6, fill: colour('--accent') }
      }
    ]
  }
}

/** One value alone, or none, gets the minute before it. */
function atLeastAMinute(min: number | null, max: number | null): [number, number] {
  const end = max ?? Date.now() / 1000
  return [Math.min(min ?? end, end - 60), end]
}

const TIMES: uPlot.Axis.DynamicValues = (_, splits) =>
  splits.map((at) => new Date(at * 1000).toLocaleTimeString([], { hour12: false }))
