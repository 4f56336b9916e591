// Numbers over time, drawn by uPlot; a table says the same to who can't see it.
import uPlot from "uplot";
import { h } from "./dom";
import { bytes } from "./format";

const POWERS = Array.from({ length: 46 }, (_, i) => 2 ** i);

export interface Line { label: string; colour: string; width?: number }

export class Series {
  readonly el = h("div", { class: "series" });
  private plot: uPlot | null = null;
  private times: number[] = [];
  private values: number[][] = [];
  private readonly said = h("p", { class: "sr" });
  private readonly resize: ResizeObserver;
  constructor(title: string, private readonly lines: Line[], private readonly unit: (n: number) => string, private readonly height = 190) {
    this.el.setAttribute("role", "img");
    this.el.setAttribute("aria-label", title);
    this.el.append(this.said);
    this.resize = new ResizeObserver(() => this.plot?.setSize({ width: this.width(), height: this.height }));
    this.resize.observe(this.el);
    document.addEventListener("whyrss-theme", this.redo);
  }
  private readonly redo = (): void => {
    this.plot?.destroy();
    this.plot = null;
    this.draw();
  };
  /** Of few points, half a minute: uPlot would show years around a single one. */
  private span(lo: number, hi: number): [number, number] {
    const first = this.times[0]!, last = this.times[this.times.length - 1]!;
    return last - first < 0.5 ? [last - 30, last + 1] : [Math.max(lo, first), Math.min(hi, last)];
  }
  private width(): number { return Math.max(200, this.el.clientWidth); }
  private colour(c: string): string {
    const m = /^var\((.*)\)$/.exec(c);
    return m ? getComputedStyle(document.body).getPropertyValue(m[1]!).trim() : c;
  }
  set(times: number[], values: number[][]): void {
    this.times = times;
    this.values = values;
    const last = values.map((v, i) => `${this.lines[i]!.label} ${v.length ? this.unit(v[v.length - 1]!) : "unknown"}`);
    this.said.textContent = last.join(", ");
    this.draw();
  }
  private draw(): void {
    if (this.times.length === 0 || !this.el.isConnected) return;
    const data = [this.times, ...this.values] as uPlot.AlignedData;
    if (this.plot) {
      this.plot.setData(data);
      return;
    }
    const axis = { stroke: this.colour("var(--dim)"), grid: { stroke: this.colour("var(--line)"), width: 1 }, ticks: { stroke: this.colour("var(--line)") }, font: "11px system-ui" };
    this.plot = new uPlot({
      width: this.width(), height: this.height, cursor: { drag: { x: true, y: false } },
      scales: { x: { range: (_u, lo, hi) => this.span(lo, hi) }, y: { range: (_u, lo, hi) => [Math.min(0, lo), (hi || 1) * 1.08] } },
      axes: [{ ...axis }, { ...axis, size: 74, ...(this.unit === bytes ? { incrs: POWERS } : {}), values: (_u, v) => v.map((n) => this.unit(n)) }],
      series: [{}, ...this.lines.map((l) => ({ label: l.label, stroke: this.colour(l.colour), width: l.width ?? 2, points: { show: this.times.length < 3 },
        value: (_u: uPlot, v: number | null) => (v === null ? "" : this.unit(v)) }))],
    }, data, this.el);
  }
  close(): void {
    this.resize.disconnect();
    document.removeEventListener("whyrss-theme", this.redo);
    this.plot?.destroy();
  }
}
