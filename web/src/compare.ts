// Two processes, or two moments of one: what grew, by row of the sum.
import { get } from "./api";
import type { Ledger, Live, Meta, Process } from "./api";
import { bridgeColour } from "./colours";
import { h, put, save, Table } from "./dom";
import { base, bytes, delta } from "./format";

interface Moment { name: string; ledger: Ledger }
const kept: Moment[] = [];

/** Keeps the newest answer for a comparison. */
export function keep(live: Live): string {
  const l = live.latest;
  if (!l) return "";
  const name = `${base(l.target.exe)} ${l.target.pid} at ${new Date(l.read.at).toLocaleTimeString()}`;
  kept.push({ name, ledger: structuredClone(l) });
  if (kept.length > 40) kept.shift();
  return name;
}

export function comparePage(m: Meta, params: URLSearchParams, setParams: (c: Record<string, string | null>) => void): { el: HTMLElement } {
  const a = h("select", { id: "a", onchange: () => changed() }), b = h("select", { id: "b", onchange: () => changed() });
  const text = h("p", { class: "verdict" });
  interface Row { id: string; title: string; x: number; y: number }
  const t = new Table<Row>("Row by row", [
    { title: "row", key: "title", value: (r) => [h("span", { class: "swatch", style: { backgroundColor: bridgeColour(r.id) } }), r.title], sort: (r) => m.bridge.findIndex((q) => q.id === r.id) * -1 },
    { title: "A", key: "a", number: true, value: (r) => bytes(r.x), sort: (r) => r.x },
    { title: "B", key: "b", number: true, value: (r) => bytes(r.y), sort: (r) => r.y },
    { title: "B − A", key: "d", number: true, value: (r) => (r.y === r.x ? "·" : delta(r.y - r.x)), sort: (r) => Math.abs(r.y - r.x) },
    { title: "grew or shrank", key: "bar", value: (r) => bar(r) },
  ], "title");
  let most = 1, rows: Row[] = [];
  function bar(r: Row): HTMLElement {
    const d = r.y - r.x, w = (Math.abs(d) / most) * 50;
    return h("span", { class: "diff-track", "aria-hidden": "true" }, h("span", { class: `diff-bar ${d > 0 ? "up" : "down"}`, style: { width: `${w}%`, left: d > 0 ? "50%" : `${50 - w}%` } }));
  }
  async function ledgerOf(v: string): Promise<Ledger> {
    const moment = kept.find((k) => k.name === v);
    return moment ? moment.ledger : get<Ledger>(`${v}/ledger?max_age=1000`);
  }
  async function draw(): Promise<void> {
    if (!a.value || !b.value) return;
    try {
      const [x, y] = await Promise.all([ledgerOf(a.value), ledgerOf(b.value)]);
      rows = x.bridge.map((r) => {
        const other = y.bridge.find((q) => q.id === r.id), of = (q: typeof r | undefined): number => (q ? (q.id === "rss" ? q.sum ?? 0 : q.delta ?? 0) : 0);
        return { id: r.id, title: m.bridge.find((q) => q.id === r.id)?.title ?? r.id, x: of(r), y: of(other) };
      }).filter((r) => r.x !== 0 || r.y !== 0);
      most = Math.max(1, ...rows.map((r) => Math.abs(r.y - r.x)));
      t.set(rows);
      const total = (y.os["rss"] ?? 0) - (x.os["rss"] ?? 0), first = rows.filter((r) => r.id !== "rss").sort((p, q) => Math.abs(q.y - q.x) - Math.abs(p.y - p.x))[0];
      put(text, total === 0 && (!first || first.x === first.y) ? "Nothing differs." : `B's RSS is ${total === 0 ? "the same" : `${bytes(Math.abs(total))} ${total > 0 ? "larger" : "smaller"}`}${first && first.x !== first.y ? `; most in “${first.title}” (${delta(first.y - first.x)}).` : "."}`);
    } catch (e) {
      put(text, h("span", { class: "error" }, e instanceof Error ? e.message : String(e)));
    }
  }
  function changed(): void {
    setParams({ a: a.value, b: b.value });
    void draw();
  }
  void get<{ processes: Process[] }>("processes").then((p) => {
    const live = p.processes.filter((x) => x.readable && x.explainable).map((x) => [`pid/${x.pid}`, `${x.program} · ${x.pid} · now`] as const);
    const all = [...kept.map((k) => [k.name, `${k.name} (kept)`] as const), ...m.files.map((f, i) => [`file/${i}`, `${base(f)} · file`] as const), ...live];
    for (const [el, want, other] of [[a, params.get("a"), 0], [b, params.get("b"), all.length > 1 ? 1 : 0]] as const) {
      el.replaceChildren(...all.map(([v, name]) => h("option", { value: v }, name)));
      el.value = want && all.some(([v]) => v === want) ? want : all[other]?.[0] ?? "";
    }
    return draw();
  }).catch((e: unknown) => put(text, e instanceof Error ? e.message : String(e)));
  return { el: h("div", { class: "page" }, h("section", { class: "card" }, h("div", { class: "controls" },
    h("label", { for: "a" }, "A "), a, h("label", { for: "b" }, "B "), b,
    h("button", { class: "small", onclick: () => void draw() }, "Read again"),
    h("button", { class: "small", onclick: () => save("whyrss-compare.csv", "row,a,b\n" + rows.map((r) => `${r.id},${r.x},${r.y}\n`).join(""), "text/csv") }, "CSV")), text, t.el,
    h("p", { class: "dim" }, "“Keep this moment” on a process's page adds that moment here."))) };
}
