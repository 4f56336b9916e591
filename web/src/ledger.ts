// The sum from the profile's number to RSS, with the answer in words above it.
import { get } from "./api";
import type { BridgeRow, Cause, Ledger } from "./api";
import { bridgeColour, lineColour } from "./colours";
import { h, put, s, save, saveSvg, Table } from "./dom";
import type { Child } from "./dom";
import { base, bytes, count, delta, duration, mib, percent } from "./format";
import type { Context, Page } from "./page";
import { Series } from "./series";

interface SpanClass { class: number; size: number; scan: boolean; spans: number; slots: number; live: number; new: number; dead: number; holes: number;
  occupancy: number; bytes: number; resident: number; hole_bytes: number; tail_bytes: number }
interface Group { count: number; state: string; created_by: string; file: string; line: number; start: string; stack_bytes: number; used_bytes: number; spare_bytes: number; longest_wait_ns: number | null }
interface Mapping { start: string; end: string; path: string; resident: number; size: number; lines: Record<string, number> }

const SIGN = (r: BridgeRow): string => (r.id === "profile" || r.id === "rss" ? "" : (r.delta ?? 0) < 0 ? "− " : "+ ");

/** A row of the waterfall. */
function row(c: Context, r: BridgeRow, most: number, least: number, open: boolean, toggle: () => void): HTMLElement {
  const info = c.meta.bridge.find((b) => b.id === r.id);
  const span = most - least || 1;
  const end = r.sum ?? 0, start = r.id === "profile" || r.id === "rss" ? 0 : end - (r.delta ?? 0);
  const from = Math.min(start, end), to = Math.max(start, end);
  const value = r.id === "profile" || r.id === "rss" ? end : r.delta ?? 0;
  const bar = h("span", { class: `bar${value < 0 ? " less" : ""}`, style: {
    left: `${((from - least) / span) * 100}%`, width: `max(2px, ${((to - from) / span) * 100}%)`, backgroundColor: bridgeColour(r.id) } });
  const title = info?.title ?? r.id;
  const cells: Child[] = [
    h("span", { class: "wf-title" }, title),
    h("span", { class: "wf-value" }, SIGN(r) + mib(Math.abs(value))),
    h("span", { class: "wf-track", "aria-hidden": "true" }, bar),
  ];
  const sum = r.id === "rss" || r.id === "profile";
  if (r.id === "rss") return h("div", { class: "wf-row sum", role: "listitem" }, cells);
  return h("div", { role: "listitem" }, h("button", { class: `wf-row${sum ? " sum" : ""}`, "data-key": `wf:${r.id}`, "aria-expanded": open,
    title: r.why, onclick: toggle }, cells));
}

/** The pages of this process that the command line's sentences point to. */
const POINTS: Record<string, string> = { spans: "spans", goroutines: "goroutines", memstats: "memstats", profile: "profile" };
function look(c: Context, x: Cause): Child {
  const to = [...new Set(x.actions.flatMap((a) => [...a.do.matchAll(/`whyrss (\w+)`/g)].map((m) => m[1]!)))].filter((n) => POINTS[n]);
  return to.length ? h("p", null, "Look closer: ", to.map((n, i) => [i ? ", " : "", h("a", { href: `#/${c.target}/${POINTS[n]!}` }, n)])) : null;
}
function action(a: Cause["actions"][number]): Child {
  const what = a.do.replaceAll("`", ""), text = a.saves > 0 ? [h("strong", null, `−${bytes(a.saves)}: `), what] : what;
  return [text, a.costs && a.costs !== "nothing" ? h("span", { class: "dim" }, ` — costs ${a.costs}`) : null];
}

export function ledgerPage(c: Context): Page {
  const head = h("div", { class: "figures" });
  const verdict = h("p", { class: "verdict", id: "verdict" });
  const causes = h("ol", { class: "causes" });
  const waterfall = h("div", { class: "waterfall", role: "list", "aria-label": "From the heap profile to RSS, row by row, MiB" });
  const detail = h("section", { class: "card detail", hidden: true, "aria-live": "polite" });
  const container = h("div", { class: "container-sum" });
  const foot = h("p", { class: "foot dim" });
  const notes = h("ul", { class: "notes" });
  const chart = new Series("RSS and heap profile since this page was opened", [
    { label: "RSS", colour: "var(--ink)" }, { label: "heap profile", colour: bridgeColour("profile") }], bytes);
  const openCauses = new Set<string>();
  let openRow: string | null = c.params.get("row");
  let shown: string | null = null;

  async function showDetail(l: Ledger): Promise<void> {
    if (!openRow) {
      detail.hidden = true;
      shown = null;
      return;
    }
    const id = openRow, info = c.meta.bridge.find((b) => b.id === id);
    const lines = c.meta.lines.filter((x) => x.bridge === id || (id === "sampling" && x.id === "heap.live"));
    detail.hidden = false;
    const of = h("div", null, lines.length ? h("ul", { class: "lines" }, lines.map((x) => {
      const v = l.lines.find((y) => y.id === x.id);
      return h("li", null, h("span", { class: "swatch", style: { backgroundColor: lineColour(x.id) } }), h("strong", null, x.title), ` ${bytes(v?.resident)} in memory`,
        v && v.bytes !== v.resident ? h("span", { class: "dim" }, ` of ${bytes(v.bytes)}`) : null, h("span", { class: "dim" }, ` — ${x.why}`));
    })) : null);
    if (shown === id) {
      const old = detail.querySelector(".lines");
      if (old && of.firstChild) old.replaceWith(of.firstChild);
      return;
    }
    shown = id;
    const inside = h("div", null, h("p", { class: "dim" }, "…"));
    detail.replaceChildren(h("div", { class: "card-head" }, h("h2", null, info?.title ?? id),
      h("button", { class: "small", onclick: () => pick(id) }, "Close")), h("p", null, info?.why ?? ""), of, inside);
    try {
      inside.replaceChildren(await insides(c, id));
    } catch (e) {
      inside.replaceChildren(h("p", { class: "error" }, e instanceof Error ? e.message : String(e)));
    }
    if (shown === id) c.say(`${info?.title ?? id}: details are shown below`);
  }

  function pick(id: string): void {
    openRow = openRow === id ? null : id;
    c.setParams({ row: openRow });
    if (c.live.latest) update(c.live.latest);
    if (openRow) detail.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  }

  function update(l: Ledger): void {
    const rss = l.os["rss"] ?? null, gap = rss === null ? null : rss - l.profile.inuse_space;
    put(head,
      h("div", null, h("span", { class: "figure" }, bytes(rss)), h("span", { class: "label" }, "RSS, what the OS counts")),
      h("div", null, h("span", { class: "figure" }, l.profile.enabled ? bytes(l.profile.inuse_space) : "off"),
        h("span", { class: "label" }, "heap profile", l.profile.error !== null && l.profile.enabled ? ` ±${percent(l.profile.error)}` : "")),
      h("div", null, h("span", { class: "figure gap" }, gap === null ? "unknown" : bytes(gap)), h("span", { class: "label" }, "the gap")));
    put(verdict, l.verdict);
    put(causes, l.causes.map((x) => causeItem(x)));
    const sums = l.bridge.flatMap((b) => [b.sum ?? 0, (b.sum ?? 0) - (b.id === "profile" || b.id === "rss" ? 0 : b.delta ?? 0)]);
    const most = Math.max(...sums, 1), least = Math.min(0, ...sums);
    put(waterfall, l.bridge.filter((b) => b.id === "profile" || b.id === "rss" || b.id === "unexplained" || Math.abs(b.delta ?? 0) >= 52429 || b.id === openRow)
      .filter((b) => b.id !== "unexplained" || (b.delta ?? 0) !== 0)
      .map((b) => row(c, b, most, least, openRow === b.id, () => pick(b.id))));
    put(foot, `read in ${l.read.ms.toFixed(0)} ms, ${l.read.stopped_ms > 0 ? `stopped for ${l.read.stopped_ms.toFixed(0)} ms` : "nothing stopped"} · unexplained ${
      bytes(l.lines.find((x) => x.id === "unexplained")?.resident)} · rows under 0.05 MiB are left out here`);
    put(notes, l.notes.map((n) => h("li", null, n)));
    put(container, containerSum(c, l));
    chart.set(c.live.history.map((x) => x.t), [c.live.history.map((x) => x.rss), c.live.history.map((x) => x.profile)]);
    void showDetail(l);
  }

  function causeItem(x: Cause): HTMLElement {
    const first = x.actions[0];
    const d = h("details", { class: "cause", open: openCauses.has(x.id + x.title) },
      h("summary", { "data-key": `cause:${x.id}` },
        h("span", { class: "cause-title" }, x.title),
        h("span", { class: "cause-bytes" }, bytes(x.bytes)),
        h("span", { class: "cause-share dim" }, x.share === null ? "" : `${percent(x.share)} of the gap · ${x.confidence}`),
        first ? h("span", { class: "cause-do" }, h("span", { class: "arrow", "aria-hidden": "true" }, "→ "), action(first)) : null),
      h("div", { class: "cause-more" },
        x.evidence.length ? h("div", null, h("h3", null, "What says so"), h("ul", null, x.evidence.map((e) => h("li", null, e)))) : null,
        x.actions.length > 1 ? h("div", null, h("h3", null, "What else can be done"), h("ul", null, x.actions.slice(1).map((a) => h("li", null, action(a))))) : null,
        look(c, x)));
    d.addEventListener("toggle", () => {
      if (d.open) openCauses.add(x.id + x.title);
      else openCauses.delete(x.id + x.title);
    });
    return h("li", null, d);
  }

  const el = h("div", { class: "page ledger" }, head, verdict,
    h("div", { class: "two" },
      h("section", { class: "card" }, h("h2", null, "From the profile to RSS", h("span", { class: "dim" }, " · MiB · click a row to see what is in it")), waterfall, foot),
      h("section", { class: "card" }, h("h2", null, "Why, and what to do"), causes, notes)),
    detail, h("div", { class: "two" }, h("section", { class: "card" }, h("h2", null, "Since this page was opened"), chart.el),
      h("section", { class: "card", id: "container" }, h("h2", null, "The container's number"), container)));
  return { el, update, close: () => chart.close(), downloads: [
    { title: "This answer (JSON)", run: () => save("whyrss-ledger.json", JSON.stringify(c.live.latest, null, 1), "application/json") },
    { title: "The sum (CSV)", run: () => save("whyrss-bridge.csv", "id,delta,sum\n" + (c.live.latest?.bridge ?? []).map((b) => `${b.id},${b.delta ?? ""},${b.sum ?? ""}\n`).join(""), "text/csv") },
    { title: "The sum (SVG)", run: () => saveSvg("whyrss-ledger.svg", waterfallSvg(c, c.live.latest!)) },
  ] };
}

function containerSum(c: Context, l: Ledger): Child {
  if (!l.container || !l.cgroup) return h("p", { class: "dim" }, "No memory cgroup is visible from here.");
  const limit = l.cgroup["limit"];
  return [h("table", { class: "plain" }, h("tbody", null, l.container.map((x) => {
    const info = c.meta.container.find((y) => y.id === x.id), sum = ["rss", "current", "working_set"].includes(x.id);
    return h("tr", { class: sum ? "sum" : null, title: info?.why }, h("th", { scope: "row" }, info?.title ?? x.id), h("td", { class: "num" }, sum ? bytes(x.sum) : delta(x.delta)));
  }))), h("p", { class: "dim" }, typeof limit === "number" ? `The limit is ${bytes(limit)}.` : "No limit is set.", " What the graph of a container shows is its working set.")];
}

/** What is in a row: asked of the same snapshot. */
async function insides(c: Context, id: string): Promise<HTMLElement> {
  const age = "max_age=60000";
  if (["new", "dead", "slots", "tail", "profile", "sampling"].includes(id)) {
    const a = await get<{ classes: SpanClass[] }>(`${c.target}/spans?${age}`);
    const t = new Table<SpanClass>("Size classes", [
      { title: "object size", key: "size", value: (r) => `${bytes(r.size)}${r.scan ? "" : ", no pointers"}`, sort: (r) => r.size },
      { title: "holes", key: "holes", number: true, value: (r) => bytes(r.hole_bytes), sort: (r) => r.hole_bytes },
      { title: "new", key: "new", number: true, value: (r) => bytes(r.new * r.size), sort: (r) => r.new * r.size },
      { title: "dead", key: "dead", number: true, value: (r) => bytes(r.dead * r.size), sort: (r) => r.dead * r.size },
      { title: "live", key: "live", number: true, value: (r) => bytes(r.live * r.size), sort: (r) => r.live * r.size },
      { title: "tails", key: "tail", number: true, value: (r) => bytes(r.tail_bytes), sort: (r) => r.tail_bytes },
      { title: "in use", key: "occ", number: true, value: (r) => percent(r.occupancy), sort: (r) => r.occupancy },
      { title: "spans", key: "spans", number: true, value: (r) => count(r.spans), sort: (r) => r.spans },
    ], { new: "new", dead: "dead", tail: "tail", profile: "live", sampling: "live" }[id] ?? "holes", undefined, 12);
    t.set(a.classes);
    return h("div", null, h("h3", null, "By size class"), t.el, h("p", null, h("a", { href: `#/${c.target}/spans` }, "All size classes"), " · ", h("a", { href: `#/${c.target}/map` }, "See them in the memory map"),
      id === "profile" ? [" · ", h("a", { href: `#/${c.target}/profile` }, "The profile")] : null));
  }
  if (id === "stacks") {
    const a = await get<{ groups: Group[] }>(`${c.target}/goroutines?${age}`);
    const t = goroutineTable(12);
    t.set(a.groups);
    return h("div", null, h("h3", null, "Goroutines by where they were created"), t.el, h("p", null, h("a", { href: `#/${c.target}/goroutines` }, "All goroutines")));
  }
  if (["binary", "libs", "native", "files", "shm", "anon", "kernel", "unexplained", "runtime", "released", "untouched", "free", "swapped"].includes(id)) {
    const a = await get<{ maps: Mapping[] }>(`${c.target}/maps?${age}`);
    const lines = new Set(c.meta.lines.filter((x) => x.bridge === id).map((x) => x.id));
    if (id === "untouched" || id === "swapped") ["heap.live", "heap.new", "heap.dead", "heap.slots", "heap.tail", "heap.free"].forEach((x) => lines.add(x));
    const of = (m: Mapping): number => Object.entries(m.lines).reduce((n, [k, v]) => n + (lines.has(k) ? v : 0), 0);
    const rows = a.maps.filter((m) => of(m) > 0);
    const t = new Table<Mapping>("Mappings", [
      { title: "mapping", key: "path", value: (r) => h("span", { title: r.path, class: "path" }, r.path), sort: (r) => r.path },
      { title: "of this row", key: "of", number: true, value: (r) => bytes(of(r)), sort: of },
      { title: "in memory", key: "resident", number: true, value: (r) => bytes(r.resident), sort: (r) => r.resident },
      { title: "size", key: "size", number: true, value: (r) => bytes(r.size), sort: (r) => r.size },
      { title: "address", key: "start", value: (r) => h("code", null, r.start), sort: (r) => r.start },
    ], "of", undefined, 12);
    t.set(rows);
    return h("div", null, h("h3", null, "Where it lies"), t.el);
  }
  return h("p", { class: "dim" }, "There is nothing more to show of it.");
}

export function goroutineTable(limit: number, onclick?: (g: Group) => void): Table<Group> {
  return new Table<Group>("Goroutines", [
    { title: "created by", key: "site", value: (r) => h("span", { title: `${r.file}:${r.line}`, class: "path" }, r.created_by || "unknown"), sort: (r) => r.created_by },
    { title: "goroutines", key: "count", number: true, value: (r) => count(r.count), sort: (r) => r.count },
    { title: "state", key: "state", value: (r) => r.state, sort: (r) => r.state },
    { title: "stacks", key: "stack", number: true, value: (r) => bytes(r.stack_bytes), sort: (r) => r.stack_bytes },
    { title: "used", key: "used", number: true, value: (r) => bytes(r.used_bytes), sort: (r) => r.used_bytes },
    { title: "longest wait", key: "wait", number: true, value: (r) => duration(r.longest_wait_ns), sort: (r) => r.longest_wait_ns ?? -1 },
    { title: "started in", key: "start", value: (r) => h("span", { class: "path" }, r.start), sort: (r) => r.start },
  ], "stack", onclick, limit);
}

export function goroutinesPage(c: Context): Page {
  const by = h("select", { id: "by", onchange: () => { c.setParams({ by: by.value }); void load(); } },
    [["site-state", "creation site and state"], ["state", "state"], ["site", "creation site"], ["start", "function started"]].map(([v, t]) => h("option", { value: v, selected: c.params.get("by") === v }, t)));
  const total = h("p", { class: "verdict" });
  const detail = h("div", { class: "card", hidden: true });
  const t = goroutineTable(500, (g) => {
    detail.hidden = false;
    detail.replaceChildren(h("h2", null, g.created_by || "unknown"), h("p", null, h("code", null, `${g.file}:${g.line}`)),
      h("p", null, `${count(g.count)} goroutines, ${g.state}; started in `, h("code", null, g.start), `; stacks ${bytes(g.stack_bytes)}, of which ${bytes(g.used_bytes)} are used and ${bytes(g.spare_bytes)} spare.`));
    detail.scrollIntoView({ block: "nearest" });
  });
  async function load(): Promise<void> {
    const a = await get<{ groups: Group[]; total: Record<string, number> }>(`${c.target}/goroutines?max_age=5000&by=${by.value}`);
    put(total, `${count(a.total["count"])} goroutines, ${count(a.total["system"])} of them the runtime's own; their stacks take ${bytes(a.total["stack_bytes"])}, ${bytes(a.total["spare_bytes"])} of it spare.`);
    t.set(a.groups);
  }
  const el = h("div", { class: "page" }, total, h("section", { class: "card" }, h("div", { class: "controls" }, h("label", { for: "by" }, "Group by "), by), t.el), detail,
    h("p", { class: "dim" }, "The waiting time is set by the GC: it is unknown for a goroutine that has not waited through a whole cycle. A group that grows and waits long is a leak."));
  let last = 0;
  return { el, update: () => {
    if (Date.now() - last < 900) return;
    last = Date.now();
    load().catch((e: unknown) => put(total, e instanceof Error ? e.message : String(e)));
  }, downloads: [
    { title: "Goroutines (CSV)", run: () => save("whyrss-goroutines.csv", t.csv(), "text/csv") },
    { title: "Goroutines (JSON)", run: () => saveJson("goroutines", `${c.target}/goroutines?max_age=60000&by=${by.value}`) },
  ] };
}

async function saveJson(name: string, path: string): Promise<void> {
  save(`whyrss-${name}.json`, JSON.stringify(await get(path), null, 1), "application/json");
}

export function spansPage(c: Context): Page {
  interface Answer { classes: SpanClass[] }
  const text = h("p", { class: "verdict" });
  const t = new Table<SpanClass & { occupancy_histogram?: number[] }>("Size classes", [
    { title: "object size", key: "size", value: (r) => `${bytes(r.size)}${r.scan ? "" : ", no pointers"}`, sort: (r) => r.size },
    { title: "holes", key: "holes", number: true, value: (r) => bytes(r.hole_bytes), sort: (r) => r.hole_bytes },
    { title: "in use", key: "occ", number: true, value: (r) => percent(r.occupancy), sort: (r) => r.occupancy },
    { title: "spans by how full they are", key: "hist", value: (r) => histogram(r.occupancy_histogram ?? []), hint: "from a tenth full at the left to all full at the right" },
    { title: "spans", key: "spans", number: true, value: (r) => count(r.spans), sort: (r) => r.spans },
    { title: "live", key: "live", number: true, value: (r) => count(r.live), sort: (r) => r.live },
    { title: "new", key: "new", number: true, value: (r) => count(r.new), sort: (r) => r.new },
    { title: "dead", key: "dead", number: true, value: (r) => count(r.dead), sort: (r) => r.dead },
    { title: "tails", key: "tail", number: true, value: (r) => bytes(r.tail_bytes), sort: (r) => r.tail_bytes },
    { title: "in memory", key: "resident", number: true, value: (r) => bytes(r.resident), sort: (r) => r.resident },
  ], "holes");
  async function load(): Promise<void> {
    const a = await get<Answer>(`${c.target}/spans?max_age=5000`);
    const holes = a.classes.reduce((n, x) => n + x.hole_bytes, 0), all = a.classes.reduce((n, x) => n + x.bytes, 0);
    put(text, `${bytes(holes)} of ${bytes(all)} in spans are holes: only objects of the same size class can fill them.`);
    t.set(a.classes);
  }
  let last = 0;
  return { el: h("div", { class: "page" }, text, h("section", { class: "card" }, t.el)), update: () => {
    if (Date.now() - last < 900) return;
    last = Date.now();
    load().catch((e: unknown) => put(text, e instanceof Error ? e.message : String(e)));
  }, downloads: [{ title: "Size classes (CSV)", run: () => save("whyrss-spans.csv", t.csv(), "text/csv") },
    { title: "Size classes (JSON)", run: () => saveJson("spans", `${c.target}/spans?max_age=60000`) }] };
}

function histogram(v: number[]): SVGSVGElement {
  const most = Math.max(...v, 1);
  return s("svg", { width: 100, height: 18, viewBox: "0 0 100 18", role: "img", "aria-label": v.map((n, i) => (n ? `${n} spans up to ${(i + 1) * 10} % full` : "")).filter(Boolean).join(", ") },
    v.map((n, i) => s("rect", { x: i * 10, y: 18 - (n ? Math.max(1.5, (n / most) * 18) : 0.5), width: 8, height: n ? Math.max(1.5, (n / most) * 18) : 0.5, class: "hist" })));
}

/** The waterfall as a drawing, for slides and tickets. */
function waterfallSvg(c: Context, l: Ledger): SVGSVGElement {
  const rows = l.bridge.filter((b) => b.id === "profile" || b.id === "rss" || Math.abs(b.delta ?? 0) >= 52429);
  const most = Math.max(...l.bridge.map((b) => b.sum ?? 0), 1), w = 620, x0 = 330;
  const svg = s("svg", { width: x0 + w + 20, height: rows.length * 26 + 60, class: "sheet" },
    s("text", { x: 10, y: 24, "font-weight": "bold", "font-size": 15 }, `${base(l.target.exe)} · pid ${l.target.pid} · ${l.target.go} · RSS ${bytes(l.os["rss"])}`));
  rows.forEach((b, i) => {
    const y = 44 + i * 26, end = b.sum ?? 0, start = b.id === "profile" || b.id === "rss" ? 0 : end - (b.delta ?? 0);
    svg.append(s("text", { x: 10, y: y + 14, "font-size": 13 }, c.meta.bridge.find((m) => m.id === b.id)?.title ?? b.id),
      s("text", { x: x0 - 12, y: y + 14, "font-size": 13, "text-anchor": "end" }, SIGN(b) + mib(Math.abs(b.id === "profile" || b.id === "rss" ? end : b.delta ?? 0))),
      s("rect", { x: x0 + (Math.min(start, end) / most) * w, y, width: Math.max(1, (Math.abs(end - start) / most) * w), height: 18, fill: bridgeColour(b.id) }));
  });
  svg.style.position = "absolute";
  svg.style.left = "-9999px";
  document.body.append(svg);
  setTimeout(() => svg.remove(), 0);
  return svg;
}
