// runtime.MemStats with what each field means and how it moved, and the pacer of the GC.
import { get } from "./api";
import type { Ledger } from "./api";
import { bridgeColour } from "./colours";
import { h, put, save, Table } from "./dom";
import { bytes, count, delta, duration, percent } from "./format";
import type { Context, Page } from "./page";
import { Series } from "./series";

type Stats = Record<string, number | boolean | null> & { PauseNs: number[]; PauseEnd: number[]; BySize: { Size: number; Mallocs: number; Frees: number }[];
  metrics: Record<string, number | null | { counts: number[]; buckets: (number | null)[] }> };
interface Field { name: string; kind: string; meaning: string; now: number | null; first: number | null; before: number | null; change: number }

function show(kind: string, v: number | boolean | null | undefined): string {
  if (v === null || v === undefined) return "unknown";
  if (typeof v === "boolean") return v ? "true" : "false";
  switch (kind) {
    case "BYTES": return bytes(v);
    case "TIME": return duration(v);
    case "WHEN": return v === 0 ? "never" : `${new Date(v / 1e6).toLocaleTimeString()}`;
    case "RATIO": return percent(v);
    case "BOOL": return v ? "true" : "false";
    default: return count(v);
  }
}

export function memstatsPage(c: Context): Page {
  const filter = h("input", { type: "search", id: "filter", placeholder: "Filter", oninput: () => draw() });
  const text = h("p", { class: "verdict" });
  let stats: Stats | null = null, first: Stats | null = null, before: Stats | null = null;
  const fields = new Table<Field>("runtime.MemStats", [
    { title: "field", key: "name", value: (r) => h("code", null, r.name), sort: (r) => c.meta.memstats.findIndex((m) => m.name === r.name) * -1 },
    { title: "now", key: "now", number: true, value: (r) => show(r.kind, r.now), sort: (r) => r.now ?? -1 },
    { title: "last step", key: "step", number: true, value: (r) => moved(r, r.before), sort: (r) => Math.abs((r.now ?? 0) - (r.before ?? r.now ?? 0)) },
    { title: "since this page was opened", key: "moved", number: true, value: (r) => moved(r, r.first), sort: (r) => Math.abs(r.change) },
    { title: "what it means", key: "meaning", value: (r) => r.meaning },
  ], "name");
  const metrics = new Table<{ key: string; value: number | null | object }>("runtime/metrics", [
    { title: "metric", key: "key", value: (r) => h("code", null, r.key), sort: (r) => r.key },
    { title: "now", key: "value", number: true, value: (r) => metric(r.key, r.value), sort: (r) => (typeof r.value === "number" ? r.value : -1) },
  ], "value");
  function moved(r: Field, from: number | null): string {
    if (r.now === null || from === null || r.kind === "BOOL" || r.kind === "WHEN") return "";
    const d = r.now - from;
    return d === 0 ? "·" : r.kind === "BYTES" ? delta(d) : (d > 0 ? "+" : "−") + show(r.kind, Math.abs(d));
  }
  function metric(key: string, v: number | null | object): string {
    if (v === null) return "unknown";
    if (typeof v === "object") {
      const hist = v as { counts: number[]; buckets: (number | null)[] };
      const n = hist.counts.reduce((a, b) => a + b, 0);
      let seen = 0, at = 0;
      for (; at < hist.counts.length && seen < n / 2; at++) seen += hist.counts[at]!;
      const edge = hist.buckets[at] ?? null;
      return n === 0 ? "no events" : `${count(n)} events, median under ${edge === null ? "∞" : key.endsWith(":seconds") ? duration(edge * 1e9) : bytes(edge)}`;
    }
    return key.endsWith(":bytes") ? (v > 9e18 ? "no limit" : bytes(v)) : key.endsWith("seconds") ? `${v.toFixed(3)} s` : count(v);
  }
  const number = (x: Stats | null, name: string): number | null => {
    const v = x?.[name];
    return typeof v === "number" ? v : null;
  };
  function draw(): void {
    if (!stats) return;
    const word = filter.value.toLowerCase();
    fields.set(c.meta.memstats.filter((m) => !word || m.name.toLowerCase().includes(word) || m.meaning.toLowerCase().includes(word)).map((m) => {
      const v = stats![m.name], now = typeof v === "boolean" ? (v ? 1 : 0) : (v as number | null | undefined) ?? null;
      const f = number(first, m.name);
      return { ...m, now, first: f, before: number(before, m.name), change: (now ?? 0) - (f ?? now ?? 0) };
    }));
    metrics.set(Object.entries(stats.metrics).filter(([k]) => !word || k.includes(word)).map(([key, value]) => ({ key, value })));
    put(text, `HeapAlloc ${bytes(number(stats, "HeapAlloc"))} of HeapInuse ${bytes(number(stats, "HeapInuse"))}; HeapIdle ${bytes(number(stats, "HeapIdle"))}, of it ${bytes(number(stats, "HeapReleased"))} returned; Sys ${bytes(number(stats, "Sys"))}. Read from outside: the program was not stopped.`);
  }
  let last = 0;
  async function load(): Promise<void> {
    const a = await get<Stats>(`${c.target}/memstats?max_age=5000`);
    before = stats;
    stats = a;
    first ??= a;
    draw();
  }
  return { el: h("div", { class: "page" }, text,
    h("section", { class: "card" }, h("div", { class: "controls" }, h("h2", null, "runtime.MemStats"), h("label", { for: "filter", class: "sr" }, "Filter"), filter), fields.el),
    h("section", { class: "card" }, h("h2", null, "runtime/metrics"), metrics.el)),
  update: () => {
    if (Date.now() - last < 900) return;
    last = Date.now();
    load().catch((e: unknown) => put(text, e instanceof Error ? e.message : String(e)));
  }, downloads: [{ title: "MemStats (JSON)", run: () => save("whyrss-memstats.json", JSON.stringify(stats, null, 1), "application/json") },
    { title: "MemStats (CSV)", run: () => save("whyrss-memstats.csv", fields.csv(), "text/csv") }] };
}

export function gcPage(c: Context): Page {
  const text = h("p", { class: "verdict" }), pacer = h("div");
  const heap = new Series("Heap, goal and RSS over time", [{ label: "heap in use", colour: bridgeColour("profile") }, { label: "heap goal", colour: bridgeColour("native"), width: 1 },
    { label: "RSS", colour: "var(--ink)", width: 1 }], bytes, 220);
  const pauses = new Series("Pauses of the last cycles", [{ label: "pause", colour: bridgeColour("runtime") }], (n) => duration(n), 170);
  const cycles = new Table<{ n: number; end: number; pause: number }>("The last GC cycles", [
    { title: "cycle", key: "n", number: true, value: (r) => count(r.n), sort: (r) => r.n },
    { title: "ended", key: "end", value: (r) => new Date(r.end / 1e6).toLocaleTimeString(), sort: (r) => r.end },
    { title: "stopped the program for", key: "pause", number: true, value: (r) => duration(r.pause), sort: (r) => r.pause },
  ], "n", undefined, 256);
  const t: number[] = [], v: number[][] = [[], [], []];
  let last = 0;
  async function load(l: Ledger): Promise<void> {
    const a = await get<Stats>(`${c.target}/memstats?max_age=5000`);
    const num = (k: string): number => (a[k] as number | null) ?? 0, m = (k: string): number | null => (typeof a.metrics[k] === "number" ? (a.metrics[k] as number) : null);
    const goal = num("NextGC") > 9e18 ? null : num("NextGC"), gogc = m("/gc/gogc:percent"), limit = m("/gc/gomemlimit:bytes"), n = num("NumGC");
    const now = Date.parse(l.read.at) / 1000;
    if (t[t.length - 1] !== now) {
      t.push(now);
      v[0]!.push(num("HeapAlloc"));
      v[1]!.push(goal ?? Number.NaN);
      v[2]!.push(l.os["rss"] ?? 0);
      if (t.length > 1200) { t.shift(); v.forEach((x) => x.shift()); }
    }
    heap.set(t, v.map((x) => x.map((y) => (Number.isNaN(y) ? null : y)) as number[]));
    const ring = Math.min(n, a.PauseNs.length), rows = Array.from({ length: ring }, (_, i) => {
      const cycle = n - ring + 1 + i, at = (cycle + 255) % 256;
      return { n: cycle, end: a.PauseEnd[at]!, pause: a.PauseNs[at]! };
    });
    pauses.set(rows.map((r) => r.end / 1e9), [rows.map((r) => r.pause)]);
    cycles.set(rows);
    const live = m("/gc/heap/live:bytes"), age = num("LastGC") ? Date.parse(l.read.at) * 1e6 - num("LastGC") : null;
    put(text, n === 0 ? "No GC cycle has run yet." : `${count(n)} cycles so far, ${count(num("NumForcedGC"))} of them asked for; the last one ended ${age === null ? "at an unknown time" : `${duration(Math.max(0, age))} ago`}. The GC takes ${percent(num("GCCPUFraction"))} of the CPU time since the start.`);
    const rowsOf: [string, string, string][] = [
      ["Live after the last cycle", bytes(live), "what the last cycle marked"],
      ["Allocated since", live === null ? "unknown" : bytes(num("HeapAlloc") - live), "live or garbage: the next cycle tells"],
      ["Heap goal", goal === null ? "none" : bytes(goal), "the next cycle ends about here"],
      ["GOGC", gogc === null ? "unknown" : gogc > 1e9 || gogc < 0 ? "off" : `${gogc} %`, "how much the heap may grow over what is live"],
      ["GOMEMLIMIT", limit === null ? "unknown" : limit > 9e18 ? "none" : bytes(limit), "the soft limit of all that Go manages"],
      ["Stack and globals to scan", bytes((m("/gc/scan/stack:bytes") ?? 0) + (m("/gc/scan/globals:bytes") ?? 0)), "part of the pacer's sum since Go 1.19"],
      ["Time to stop the program, all cycles", duration(num("PauseTotalNs")), "stop-the-world time"],
    ];
    put(pacer, h("table", { class: "plain" }, h("tbody", null, rowsOf.map(([k, x, why]) => h("tr", null, h("th", { scope: "row" }, k), h("td", { class: "num" }, x), h("td", { class: "dim" }, why))))));
  }
  return { el: h("div", { class: "page" }, text, h("div", { class: "two" }, h("section", { class: "card" }, h("h2", null, "The pacer"), pacer),
    h("section", { class: "card" }, h("h2", null, "Heap and goal since this page was opened"), heap.el)),
    h("section", { class: "card" }, h("h2", null, "Pauses of the last cycles"), pauses.el, cycles.el)),
  update: (l) => {
    if (Date.now() - last < 900) return;
    last = Date.now();
    load(l).catch((e: unknown) => put(text, e instanceof Error ? e.message : String(e)));
  }, close: () => { heap.close(); pauses.close(); }, downloads: [{ title: "GC cycles (CSV)", run: () => save("whyrss-gc.csv", cycles.csv(), "text/csv") },
    { title: "Heap, goal and RSS over time (CSV)", run: () => save("whyrss-heap.csv", "unix_seconds,heap,goal,rss\n" + t.map((x, i) => `${x},${v[0]![i]!},${Number.isNaN(v[1]![i]!) ? "" : v[1]![i]!},${v[2]![i]!}\n`).join(""), "text/csv") }] };
}
