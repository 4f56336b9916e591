// Profiles: flame graph, top, graph, peek; with filters, a base to compare with, and shareable addresses.
import { get, getText, profiles, reportOf, sendProfile } from "./api";
import type { Shelved } from "./api";
import { h, put, s, save, saveSvg, Table } from "./dom";
import { amount, percent } from "./format";
import type { Child } from "./dom";
import type { Context, Page } from "./page";
import { edges, paths, top, tree } from "./stacks";
import type { Config, Node, Path, Row, Stacks } from "./stacks";

const KINDS: [string, string][] = [["heap", "heap"], ["allocs", "allocations"], ["goroutine", "goroutines"], ["stacks", "goroutine stacks"], ["space", "memory space"],
  ["fragmentation", "fragmentation"], ["threadcreate", "threads created"], ["block", "blocking"], ["mutex", "mutex"]];
const FILTERS: [string, string, string][] = [["f", "focus", "only stacks with a frame that matches"], ["i", "ignore", "no stacks with a frame that matches"], ["h", "hide", "frames that match are skipped"],
  ["s", "show", "only frames that match"], ["sf", "show from", "stacks begin at the frame that matches"], ["tf", "tag focus", "only samples with a label that matches, key=pattern, or in range, as 32kb:4mb"],
  ["ti", "tag ignore", "no samples with a label that matches"], ["tagroot", "tag root", "labels, split by commas, as frames at the root"], ["tagleaf", "tag leaf", "labels, split by commas, as frames at the leaf"]];
// what a saved report, which has no engine, can do
const SIMPLE = ["f", "i", "h", "s", "sf", "tf"];

function configs(): Record<string, string> {
  try {
    return JSON.parse(localStorage.getItem("whyrss-configs") ?? "{}") as Record<string, string>;
  } catch {
    return {};
  }
}

const escapeRegex = (name: string): string => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
const HUES = ["205 70%", "36 88%", "160 45%", "330 55%", "258 50%", "14 75%", "185 50%", "52 70%", "285 40%", "100 35%"];

/** A colour by package, so that functions of one package look alike; a name says which it is. */
function hue(name: string): string {
  const pkg = name.slice(0, name.lastIndexOf("/") + 1) + name.slice(name.lastIndexOf("/") + 1).split(".")[0]!;
  let x = 7;
  for (let i = 0; i < pkg.length; i++) x = (x * 31 + pkg.charCodeAt(i)) >>> 0;
  return HUES[x % HUES.length]!;
}

export function profilePage(c: Context): Page {
  const local = reportOf !== null, shelf = c.target.startsWith("profile/"), filters = FILTERS.filter(([k]) => !local || SIMPLE.includes(k));
  const kind = h("select", { id: "kind", onchange: () => { c.setParams({ kind: kind.value, si: null, p: null }); void load(); } }, KINDS.map(([v, t]) => h("option", { value: v, selected: (c.params.get("kind") ?? "heap") === v }, t)));
  const type = h("select", { id: "si", onchange: () => { c.setParams({ si: type.value }); draw(); } });
  const grain = h("select", { id: "g", onchange: () => { c.setParams({ g: grain.value, p: null }); draw(); } }, [["functions", "by function"], ["filefunctions", "by function and file"], ["lines", "by line"], ["files", "by file"]].map(([v, t]) => h("option", { value: v, selected: c.params.get("g") === v }, t)));
  const invert = h("input", { type: "checkbox", id: "invert", checked: c.params.get("inv") === "1", onchange: () => { c.setParams({ inv: invert.checked ? "1" : null, p: null }); draw(); } });
  const baseSelect = h("select", { id: "base", onchange: () => { c.setParams({ base: baseSelect.value || null }); void load(); } });
  const inlined = h("input", { type: "checkbox", id: "noinlines", checked: c.params.get("noinlines") === "1", onchange: () => { c.setParams({ noinlines: inlined.checked ? "1" : null, p: null }); void load(); } });
  const search = h("input", { type: "search", id: "search", placeholder: "Search functions", oninput: () => mark() });
  const inputs = filters.map(([key, name, hint]) => h("input", { type: "text", id: `c-${key}`, placeholder: name, title: hint, "aria-label": `${name}: ${hint}`, value: c.params.get(key) ?? "", spellcheck: "false",
    onchange: (e: Event) => { c.setParams({ [key]: (e.target as HTMLInputElement).value || null, p: null }); refilter(); } }));
  const tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "Reports" });
  const summary = h("p", { class: "verdict small-verdict" }), view = h("div", { class: "profile-view", role: "tabpanel" }), menu = h("div", { class: "menu", role: "menu", hidden: true });
  const saved = h("select", { id: "configs", "aria-label": "Saved settings", onchange: () => useConfig() });
  let data: Stacks | null = null, before0: Stacks | null = null, bases: Shelved[] = [], loadedKind = "", turn = 0, sourceTurn = 0;

  const VIEWS: [string, string][] = [["flame", "Flame graph"], ["top", "Top"], ["graph", "Graph"], ["peek", "Peek"], ["source", "Source"]];
  const config = (): Config => ({ si: Math.min(Number(c.params.get("si") ?? data?.default ?? 0), (data?.types.length ?? 1) - 1), f: c.params.get("f") ?? "", i: c.params.get("i") ?? "", h: c.params.get("h") ?? "", s: c.params.get("s") ?? "",
    sf: c.params.get("sf") ?? "", tf: c.params.get("tf") ?? "", g: (c.params.get("g") as Config["g"] | null) ?? "functions", invert: c.params.get("inv") === "1", rel: false });
  const unit = (): string => data?.types[config().si]?.unit ?? "count";
  const said = (n: number): string => amount(n, unit());

  /** What the server is asked for: the filters that are set. */
  function query(extra: Record<string, string> = {}): string {
    const q = new URLSearchParams(extra);
    for (const [k] of filters) if (c.params.get(k)) q.set(k, c.params.get(k)!);
    if (c.params.get("noinlines") === "1") q.set("noinlines", "1");
    return q.toString();
  }
  function refilter(): void {
    if (local) draw();
    else void load();
  }

  function drawControls(): void {
    const now = c.params.get("view") ?? "flame";
    put(tabs, VIEWS.map(([v, t]) => h("button", { role: "tab", class: "tab", "data-key": `tab:${v}`, "aria-selected": v === now, onclick: () => { c.setParams({ view: v }); draw(); } }, t)));
    type.replaceChildren(...(data?.types ?? []).map((x, i) => h("option", { value: i }, `${x.type} (${x.unit})`)));
    type.value = String(config().si);
    baseSelect.replaceChildren(h("option", { value: "" }, "no base"), ...bases.map((b) => h("option", { value: b.id }, b.name)));
    baseSelect.value = c.params.get("base") ?? "";
    if (baseSelect.selectedIndex < 0) baseSelect.value = "";
    saved.replaceChildren(h("option", { value: "" }, "saved settings …"), ...Object.keys(configs()).map((k) => h("option", { value: k }, k)), h("option", { value: "+" }, "save these …"));
    inputs.forEach((el, i) => { if (document.activeElement !== el) el.value = c.params.get(filters[i]![0]) ?? ""; });
  }
  function useConfig(): void {
    const all = configs();
    if (saved.value === "+") {
      const name = FILTERS.map(([k, n]) => (c.params.get(k) ? `${n} ${c.params.get(k)!}` : "")).filter(Boolean).join(", ") || `${c.params.get("view") ?? "flame"}, ${kind.value}`;
      all[name] = c.params.toString();
      try { localStorage.setItem("whyrss-configs", JSON.stringify(all)); } catch { /* private window: not kept */ }
      c.say(`Saved as ${name}`);
    } else if (all[saved.value]) {
      const want = new URLSearchParams(all[saved.value]);
      c.setParams(Object.fromEntries([...FILTERS.map(([k]) => k), "view", "g", "inv", "noinlines"].map((k) => [k, want.get(k)])));
      refilter();
      return;
    }
    draw();
  }

  async function load(): Promise<void> {
    const mine = ++turn, base = c.params.get("base"), path = shelf ? "stacks" : `stacks/${kind.value}`;
    loadedKind = shelf ? "" : kind.value;
    try {
      const now = await get<Stacks>(`${c.target}/${path}?${query({ max_age: "10000" })}`), all = await profiles();
      const against = base && all.some((b) => b.id === base) ? await get<Stacks>(`profile/${base}/stacks?${query()}`) : null;
      if (mine !== turn) return; // another was asked for meanwhile
      data = now;
      before0 = against;
      const types = now.types.map((t) => t.type).join();
      bases = all.filter((b) => b.types.join() === types && `profile/${b.id}` !== c.target);
    } catch (e) {
      if (mine !== turn) return;
      data = null;
      drawControls();
      put(summary, "");
      view.replaceChildren(h("p", { class: "error" }, e instanceof Error ? e.message : String(e)));
      return;
    }
    draw();
  }
  /** The profile as it is now goes to the server's shelf: a base that outlives this page and can be named in an address. */
  async function keepBase(): Promise<void> {
    const r = await fetch(shelf ? `/api/1/${c.target}/pprof/proto` : `/${c.target}/debug/pprof/${kind.value}`);
    if (!r.ok) throw new Error(await r.text());
    const kept = await sendProfile(await r.blob(), `${c.title} · ${shelf ? "" : `${kind.value} `}at ${new Date().toLocaleTimeString()}`);
    bases = [kept, ...bases];
    drawControls();
    c.say(`Kept as a base: ${kept.name}`);
  }
  function draw(): void {
    drawControls();
    if (!data) return;
    const cfg = config();
    try {
      const now = paths(data, cfg, !local), before = before0 ? paths(before0, cfg, !local) : null;
      put(summary, data.note ? h("span", null, data.note, " ") : null,
        before ? `${said(now.total)} now, ${said(before.total)} in the base: ${now.total >= before.total ? "+" : "−"}${said(Math.abs(now.total - before.total))}.`
          : now.total === now.all ? `${said(now.total)} in ${now.paths.length} stacks.` : `${said(now.total)} of ${said(now.all)} (${percent(now.all ? now.total / now.all : 0)}) match.`,
        data.left_out ? h("span", { class: "dim" }, ` ${data.left_out} small stacks are left out.`) : null);
      const how = c.params.get("view") ?? "flame";
      view.replaceChildren(how === "top" ? drawTop(now.paths, before?.paths ?? null, now.all) : how === "graph" ? drawGraph(now.paths, now.all) : how === "peek" ? drawPeek(now.paths, now.all) : how === "source" ? drawSource(now.all, cfg)
        : drawFlame(tree(now.paths, before?.paths ?? [], cfg.invert), now.all, before !== null));
      mark();
    } catch (e) {
      view.replaceChildren(h("p", { class: "error" }, e instanceof Error ? e.message : String(e)));
    }
  }

  // ---- flame graph ----
  function drawFlame(root: Node, all: number, diff: boolean): HTMLElement {
    const path = (c.params.get("p") ?? "").split("\n").filter(Boolean);
    const chain: Node[] = [root];
    for (const name of path) {
      const next = chain[chain.length - 1]!.kids.get(name);
      if (!next) break;
      chain.push(next);
    }
    const top0 = chain[chain.length - 1]!, weight = (n: Node): number => (diff ? Math.max(n.v, n.base) : n.v), whole = weight(top0) || 1;
    const el = h("div", { class: "flame", role: "tree", "aria-label": "Flame graph: the root at the top, each box as wide as its value" });
    const ROW = 20;
    let depth = 0, boxes = 0;
    const box = (n: Node, x: number, w: number, d: number, p: string[], above: boolean): void => {
      if (boxes > 6000) return;
      boxes++;
      depth = Math.max(depth, d);
      const change = n.v - n.base, share = all ? n.v / all : 0;
      const label = n === root ? "all" : short(n.name);
      const colour = diff ? (change === 0 ? "var(--same)" : change > 0 ? `rgba(213,94,0,${0.25 + 0.75 * Math.min(1, Math.abs(change) / (n.base || n.v || 1))})` : `rgba(0,114,178,${0.25 + 0.75 * Math.min(1, Math.abs(change) / (n.base || 1))})`)
        : n === root ? "var(--same)" : `hsl(${hue(n.name)} var(--flame-l))`;
      el.append(h("button", { class: `box${above ? " above" : ""}`, role: "treeitem", "data-name": n.name, "aria-level": d + 1,
        title: `${n.name}\n${said(n.v)} · ${percent(share)}${n.self ? ` · itself ${said(n.self)}` : ""}${diff ? `\n${change >= 0 ? "+" : "−"}${said(Math.abs(change))} against the base` : ""}`,
        style: { left: `${x * 100}%`, width: `max(1px, calc(${w * 100}% - 1px))`, top: `${d * ROW}px`, backgroundColor: colour },
        onclick: () => { c.setParams({ p: p.join("\n") || null }); draw(); view.querySelector<HTMLElement>(`.box[data-name="${CSS.escape(n.name)}"]`)?.focus(); c.say(`${n.name}: ${said(n.v)}, ${percent(share)}`); },
        oncontextmenu: (e: MouseEvent) => openMenu(e, n.name) }, w * el0 > 30 ? label : ""));
    };
    const el0 = view.clientWidth || 900;
    const draw1 = (n: Node, x: number, w: number, d: number, p: string[]): void => {
      box(n, x, w, d, p, false);
      let at = x;
      const kids = [...n.kids.values()].sort((a, b) => weight(b) - weight(a) || a.name.localeCompare(b.name));
      for (const k of kids) {
        const kw = (weight(k) / whole);
        if (kw * el0 >= 1.2) draw1(k, at, kw, d + 1, [...p, k.name]);
        at += kw;
      }
    };
    chain.slice(0, -1).forEach((n, i) => box(n, 0, 1, i, chain.slice(1, i + 1).map((q) => q.name), true));
    draw1(top0, 0, 1, chain.length - 1, chain.slice(1).map((q) => q.name));
    el.style.height = `${(depth + 1) * ROW + 4}px`;
    return el;
  }
  const short = (name: string): string => name.slice(name.lastIndexOf("/") + 1);
  function mark(): void {
    const word = search.value.trim();
    let re: RegExp | null = null;
    try { re = word ? new RegExp(word, "i") : null; } catch { re = null; }
    view.querySelectorAll<HTMLElement>("[data-name]").forEach((el) => el.classList.toggle("found", re !== null && re.test(el.dataset["name"]!)));
    view.classList.toggle("searching", re !== null);
  }

  // ---- right-click menu ----
  function openMenu(e: MouseEvent, name: string): void {
    e.preventDefault();
    const exact = `^${escapeRegex(name)}$`;
    const item = (t: string, change: Record<string, string | null>): HTMLElement => h("button", { role: "menuitem", onclick: () => { menu.hidden = true; c.setParams(change); refilter(); } }, t);
    menu.replaceChildren(h("div", { class: "menu-title" }, name), item("Focus on it", { f: exact, p: null }), item("Ignore it", { i: exact, p: null }), item("Hide it", { h: exact, p: null }), item("Show from it", { sf: exact, p: null }),
      item("Peek: who calls it, what it calls", { view: "peek", peek: name }), item("Source", { view: "source", peek: name }), item("Take all filters away", { ...Object.fromEntries(FILTERS.map(([k]) => [k, null])), p: null }),
      h("button", { role: "menuitem", onclick: () => { menu.hidden = true; void navigator.clipboard?.writeText(name); } }, "Copy the name"));
    menu.hidden = false;
    const box = el.getBoundingClientRect();
    menu.style.left = `${Math.max(0, Math.min(e.clientX - box.left, box.width - 260))}px`;
    menu.style.top = `${e.clientY - box.top}px`;
    menu.querySelector("button")?.focus();
  }
  const closeMenu = (e: Event): void => {
    if (e instanceof KeyboardEvent ? e.key === "Escape" : !menu.contains(e.target as unknown as globalThis.Node)) menu.hidden = true;
  };
  document.addEventListener("pointerdown", closeMenu);
  document.addEventListener("keydown", closeMenu);

  // ---- top ----
  function drawTop(now: Path[], before: Path[] | null, all: number): HTMLElement {
    const a = top(now), b = before ? top(before) : null, rows = [...a.values()];
    for (const [name, r] of b ?? []) if (!a.has(name)) rows.push({ name, flat: 0, cum: 0, ...({ gone: r } as object) });
    const change = (r: Row): number => r.flat - (b?.get(r.name)?.flat ?? 0), cchange = (r: Row): number => r.cum - (b?.get(r.name)?.cum ?? 0);
    const sign = (n: number): string => (n === 0 ? "·" : (n > 0 ? "+" : "−") + said(Math.abs(n)));
    const t = new Table<Row>("Top functions", [
      { title: "function", key: "name", value: (r) => h("span", { class: "path", "data-name": r.name, title: r.name, oncontextmenu: (e: MouseEvent) => openMenu(e, r.name) }, r.name), sort: (r) => r.name },
      { title: "flat", key: "flat", number: true, value: (r) => said(r.flat), sort: (r) => r.flat, hint: "of the function itself" },
      { title: "flat %", key: "flatp", number: true, value: (r) => percent(all ? r.flat / all : 0), sort: (r) => r.flat },
      { title: "cum", key: "cum", number: true, value: (r) => said(r.cum), sort: (r) => r.cum, hint: "with all that it calls" },
      { title: "cum %", key: "cump", number: true, value: (r) => percent(all ? r.cum / all : 0), sort: (r) => r.cum },
      ...(b ? [{ title: "flat moved", key: "fd", number: true, value: (r: Row) => sign(change(r)), sort: (r: Row) => Math.abs(change(r)) }, { title: "cum moved", key: "cd", number: true, value: (r: Row) => sign(cchange(r)), sort: (r: Row) => Math.abs(cchange(r)) }] : []),
    ], b ? "fd" : "flat", (r) => { c.setParams({ view: "peek", peek: r.name }); draw(); });
    t.set(rows);
    return t.el;
  }

  // ---- peek ----
  function drawPeek(now: Path[], all: number): HTMLElement {
    const rows = top(now), name = c.params.get("peek") && rows.has(c.params.get("peek")!) ? c.params.get("peek")! : [...rows.values()].sort((a, b) => b.flat - a.flat)[0]?.name;
    if (!name) return h("p", { class: "dim" }, "Nothing matches.");
    const r = rows.get(name)!, es = edges(now);
    const list = (title: string, of: { name: string; v: number }[]): HTMLElement => h("section", null, h("h3", null, title), of.length === 0 ? h("p", { class: "dim" }, "none") : h("ul", { class: "peek" }, of.sort((a, b) => b.v - a.v).slice(0, 60).map((x) =>
      h("li", null, h("button", { class: "link path", "data-name": x.name, onclick: () => { c.setParams({ peek: x.name }); draw(); } }, x.name), h("span", { class: "num" }, `${said(x.v)} · ${percent(r.cum ? x.v / r.cum : 0)}`)))));
    const pick = h("select", { id: "peek-of", "aria-label": "Function", onchange: () => { c.setParams({ peek: pick.value }); draw(); } }, [...rows.values()].sort((a, b) => b.cum - a.cum).slice(0, 400).map((x) => h("option", { value: x.name, selected: x.name === name }, x.name)));
    return h("div", { class: "peek-view" }, pick, list("Called by", es.filter((e) => e.to === name).map((e) => ({ name: e.from, v: e.v }))),
      h("p", { class: "peek-self" }, h("strong", { class: "path" }, name), h("br"), `itself ${said(r.flat)} (${percent(all ? r.flat / all : 0)}), with what it calls ${said(r.cum)} (${percent(all ? r.cum / all : 0)})`),
      list("Calls", es.filter((e) => e.from === name).map((e) => ({ name: e.to, v: e.v }))));
  }

  // ---- source: what each line of a function has, with its text where that is on this machine ----
  function drawSource(all: number, cfg: Config): HTMLElement {
    const p = data!, fns = new Map<string, Map<string, { flat: number; cum: number; line: number; file: string }>>();
    for (const x of p.samples) {
      const v = x.v[cfg.si] ?? 0, seen = new Set<number>();
      x.s.forEach((fr, depth) => {
        if (seen.has(fr)) return;
        seen.add(fr);
        const [fn, line] = p.frames[fr]!, [name, file] = p.functions[fn]!;
        const of = fns.get(name) ?? new Map();
        fns.set(name, of);
        const key = `${file}:${line}`, cell = of.get(key) ?? { flat: 0, cum: 0, line, file };
        of.set(key, cell);
        cell.cum += v;
        if (depth === 0) cell.flat += v;
      });
    }
    const sum = (m: Map<string, { cum: number }>): number => Math.max(...[...m.values()].map((x) => x.cum));
    const own = (m: Map<string, { flat: number }>): number => [...m.values()].reduce((n, x) => n + x.flat, 0);
    const order = [...fns.keys()].sort((a, b) => sum(fns.get(b)!) - sum(fns.get(a)!)), name = c.params.get("peek") && fns.has(c.params.get("peek")!) ? c.params.get("peek")!
      : [...fns.keys()].sort((a, b) => own(fns.get(b)!) - own(fns.get(a)!))[0];
    if (!name) return h("p", { class: "dim" }, "Nothing matches.");
    const pick = h("select", { "aria-label": "Function", onchange: () => { c.setParams({ peek: pick.value }); draw(); } }, order.slice(0, 400).map((x) => h("option", { value: x, selected: x === name }, x)));
    const lines = [...fns.get(name)!.values()].sort((a, b) => a.line - b.line);
    const where = h("p", { class: "dim path" }, lines[0]?.file ?? "");
    const table = (head: string[], rows: Child[]): HTMLElement => h("div", { class: "table-wrap source", tabindex: 0, role: "region", "aria-label": "Source" }, h("table", null,
      h("thead", null, h("tr", null, head.map((t, i) => h("th", { scope: "col", class: i < 3 ? "num" : null }, t)))), h("tbody", null, rows)));
    const box = h("div", null, table(["line", "flat", "cum", "cum %"], lines.map((l) => h("tr", null, h("th", { scope: "row", class: "num" }, l.line), h("td", { class: "num" }, said(l.flat)), h("td", { class: "num" }, said(l.cum)), h("td", null, percent(all ? l.cum / all : 0))))));
    if (!local) {
      const mine = ++sourceTurn;
      getText(`${c.target}/pprof/${shelf ? "" : `${loadedKind}/`}list?${query({ pattern: `^${escapeRegex(name)}$`, si: String(cfg.si), max_age: "10000" })}`).then((text) => {
        if (mine !== sourceTurn) return;
        const rows = text.split("\n").map((x) => /^ *(\S+) +(\S+) +(\d+):(.*)$/.exec(x)).filter((m) => m !== null), why = /^ Error: (.*)$/m.exec(text)?.[1];
        const cell = (x: string): string => (x === "." ? "" : x);
        if (rows.length) box.replaceChildren(table(["line", "flat", "cum", "source"], rows.map((m) => h("tr", { class: m[1] === "." && m[2] === "." ? null : "hot" }, h("th", { scope: "row", class: "num" }, m[3]!), h("td", { class: "num" }, cell(m[1]!)), h("td", { class: "num" }, cell(m[2]!)), h("td", { class: "code" }, m[4]!)))));
        const hot = box.querySelector<HTMLElement>(".hot"), wrap = box.querySelector<HTMLElement>(".table-wrap");
        if (hot && wrap) wrap.scrollTop = hot.offsetTop - 90; // long functions begin far from where the memory is
        if (!rows.length && why) where.append(` — the text is not here: ${why}`);
      }).catch(() => { /* the numbers stay */ });
    }
    return h("div", null, pick, where, box);
  }

  // ---- graph ----
  function drawGraph(now: Path[], all: number): HTMLElement {
    const rows = [...top(now).values()].sort((a, b) => b.cum - a.cum), keep = new Map(rows.filter((r) => Math.abs(r.cum) >= all * 0.005).slice(0, 60).map((r) => [r.name, r]));
    const kept = now.map((p) => ({ v: p.v, names: p.names.filter((n) => keep.has(n)) }));
    const es = edges(kept).filter((e) => Math.abs(e.v) >= all * 0.001);
    // layers: the longest way from a root, cycles cut where they close
    const layer = new Map<string, number>(), order = [...keep.keys()];
    order.forEach((n) => layer.set(n, 0));
    for (let round = 0; round < order.length; round++) {
      let changed = false;
      for (const e of es) {
        const want = layer.get(e.from)! + 1;
        if (want > layer.get(e.to)! && want < 40 && !(es.some((b) => b.from === e.to && b.to === e.from && b.v > e.v))) { layer.set(e.to, want); changed = true; }
      }
      if (!changed) break;
    }
    const layers: string[][] = [];
    order.forEach((n) => (layers[layer.get(n)!] ??= []).push(n));
    const at = new Map<string, { x: number; y: number; w: number }>(), width = (n: string): number => Math.min(300, 24 + Math.max(short(n).length * 7.2, label(n).length * 6.4)), label = (n: string): string => `${said(keep.get(n)!.flat)} of ${said(keep.get(n)!.cum)} (${percent(all ? keep.get(n)!.cum / all : 0)})`;
    const pos = new Map<string, number>();
    layers.forEach((l) => l?.forEach((n, i) => pos.set(n, i)));
    for (let round = 0; round < 6; round++)
      layers.forEach((l) => {
        if (!l) return;
        const bary = (n: string): number => {
          const near = es.filter((e) => e.to === n || (round % 2 && e.from === n)).map((e) => pos.get(e.to === n ? e.from : e.to)!);
          return near.length ? near.reduce((a, b) => a + b, 0) / near.length : pos.get(n)!;
        };
        const by = new Map(l.map((n) => [n, bary(n)]));
        l.sort((a, b) => by.get(a)! - by.get(b)!).forEach((n, i) => pos.set(n, i));
      });
    let most = 0;
    layers.forEach((l) => { most = Math.max(most, (l ?? []).reduce((x, n) => x + width(n) + 28, 0)); });
    let y = 20;
    layers.forEach((l) => {
      if (!l) return;
      let x = (most - l.reduce((q, n) => q + width(n) + 28, 0)) / 2 + 14;
      l.forEach((n) => { at.set(n, { x, y, w: width(n) }); x += width(n) + 28; });
      y += 92;
    });
    const svg = s("svg", { class: "graph", width: Math.max(most, 200), height: y, viewBox: `0 0 ${Math.max(most, 200)} ${y}`, role: "group", "aria-label": `Call graph of ${keep.size} functions; Top and Peek have the same numbers as text` });
    svg.append(s("defs", null, s("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 9, markerHeight: 9, markerUnits: "userSpaceOnUse", orient: "auto" }, s("path", { d: "M0,0 L8,4 L0,8 z", class: "arrow-head" }))));
    for (const e of es) {
      const a = at.get(e.from)!, b = at.get(e.to)!;
      const x1 = a.x + a.w / 2, y1 = a.y + 44, x2 = b.x + b.w / 2, y2 = b.y;
      svg.append(s("path", { class: "edge", d: `M${x1},${y1} C${x1},${y1 + 30} ${x2},${y2 - 30} ${x2},${y2}`, "stroke-width": 1 + 6 * Math.min(1, Math.abs(e.v) / (all || 1)), "marker-end": "url(#arrow)" }, s("title", null, `${e.from} → ${e.to}: ${said(e.v)}`)));
      if (Math.abs(e.v) > all * 0.02) svg.append(s("text", { class: "edge-text", x: (x1 + x2) / 2 + 4, y: (y1 + y2) / 2 }, said(e.v)));
    }
    for (const [n, p] of at) {
      const r = keep.get(n)!, heat = all ? Math.min(1, Math.abs(r.flat) / all) : 0;
      const g = s("g", { class: "node", "data-name": n, tabindex: 0, role: "button",
        onclick: () => { c.setParams({ view: "peek", peek: n }); draw(); }, onkeydown: (e: KeyboardEvent) => { if (e.key === "Enter") { c.setParams({ view: "peek", peek: n }); draw(); } }, oncontextmenu: (e: MouseEvent) => openMenu(e, n) },
        s("title", null, n), s("rect", { x: p.x, y: p.y, width: p.w, height: 44, rx: 5, style: { fill: `color-mix(in srgb, var(--card), #e69f00 ${Math.round(heat * 85)}%)` } }),
        s("text", { x: p.x + p.w / 2, y: p.y + 18, "text-anchor": "middle" }, short(n).length > 40 ? `${short(n).slice(0, 39)}…` : short(n)),
        s("text", { x: p.x + p.w / 2, y: p.y + 35, "text-anchor": "middle", class: "node-value" }, label(n)));
      svg.append(g);
    }
    return h("div", { class: "graph-wrap", tabindex: 0, role: "region", "aria-label": "Call graph" }, svg);
  }

  function flameSvg(): SVGSVGElement {
    const boxes = [...view.querySelectorAll<HTMLElement>(".box")], w = view.clientWidth || 900;
    const svg = s("svg", { width: w, height: view.clientHeight }, boxes.map((b) => s("g", null, s("rect", { x: b.offsetLeft, y: b.offsetTop, width: b.offsetWidth, height: 19, fill: getComputedStyle(b).backgroundColor }),
      s("text", { x: b.offsetLeft + 3, y: b.offsetTop + 14, "font-size": 12, fill: getComputedStyle(b).color }, b.textContent ?? ""))));
    return svg;
  }
  const el = h("div", { class: "page profile" },
    h("section", { class: "card" },
      h("div", { class: "controls" }, shelf ? null : [h("label", { for: "kind" }, "Profile "), kind], h("label", { for: "si", class: "sr" }, "Sample type"), type, h("label", { for: "g", class: "sr" }, "Granularity"), grain,
        h("label", { class: "check" }, invert, " from the leaves"), local ? null : [h("label", { class: "check", title: "inlined functions count for their caller" }, inlined, " no inlines"), h("label", { for: "base", class: "sr" }, "Base"), baseSelect,
          h("button", { class: "small", id: "save-base", title: "Keeps the whole profile in the server, to compare with", onclick: () => { keepBase().catch((e: unknown) => put(summary, h("span", { class: "error" }, e instanceof Error ? e.message : String(e)))); } }, "Keep as a base")],
        local || shelf ? null : h("button", { class: "small", id: "reload", onclick: () => void load() }, "Read again"), saved),
      h("details", { class: "filters", open: innerWidth > 900 || filters.some(([k]) => c.params.get(k)) }, h("summary", null, "Search and filters"), h("div", { class: "controls" }, h("label", { for: "search", class: "sr" }, "Search"), search, inputs)), tabs, summary, view, menu));
  void load();
  return { el, close: () => {
    document.removeEventListener("pointerdown", closeMenu);
    document.removeEventListener("keydown", closeMenu);
  }, downloads: [
    ...(local ? [] : [{ title: "This profile (for go tool pprof)", run: () => { location.href = shelf ? `/api/1/${c.target}/pprof/proto` : `/${c.target}/debug/pprof/${kind.value}`; } },
      ...["top", "tree", "traces", "tags", "dot"].map((r) => ({ title: `pprof -${r} (text)`, run: async () => save(`whyrss-${r}.${r === "dot" ? "dot" : "txt"}`, await getText(`${c.target}/pprof/${shelf ? "" : `${loadedKind}/`}${r}?${query({ si: String(config().si), g: grain.value })}`)) }))]),
    { title: "Top (CSV)", run: () => {
      if (!data) return;
      const rows = [...top(paths(data, config(), !local).paths).values()].sort((a, b) => b.flat - a.flat);
      save("whyrss-top.csv", "function,flat,cum\n" + rows.map((r) => `"${r.name.replaceAll('"', '""')}",${r.flat},${r.cum}\n`).join(""), "text/csv");
    } },
    { title: "Stacks (JSON)", run: () => save("whyrss-stacks.json", JSON.stringify(data), "application/json") },
    { title: "This picture (SVG)", run: () => {
      const g = view.querySelector<SVGElement>("svg.graph");
      saveSvg("whyrss-profile.svg", g ?? flameSvg());
    } },
  ] };
}
