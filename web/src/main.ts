// The frame: which page is shown, of which target, in which theme.
import "uplot/dist/uPlot.min.css";
import "./style.css";
import { get, Live, meta, profiles, reportAt, reportOf, sendProfile } from "./api";
import type { Ledger, Meta, Process, Shelved } from "./api";
import { comparePage, keep } from "./compare";
import { add, h, plain, put, Table } from "./dom";
import { base, bytes } from "./format";
import { goroutinesPage, ledgerPage, spansPage } from "./ledger";
import { mapPage } from "./map";
import { gcPage, memstatsPage } from "./memstats";
import type { Context, Page } from "./page";
import { profilePage } from "./profile";

const PAGES: Record<string, { title: string; make: (c: Context) => Page }> = {
  ledger: { title: "Ledger", make: ledgerPage },
  map: { title: "Memory map", make: mapPage },
  profile: { title: "Profile", make: profilePage },
  spans: { title: "Size classes", make: spansPage },
  goroutines: { title: "Goroutines", make: goroutinesPage },
  gc: { title: "GC", make: gcPage },
  memstats: { title: "MemStats", make: memstatsPage },
};

const app = document.getElementById("app")!;
const spoken = h("div", { class: "sr", role: "status", "aria-live": "polite" });
const nav = h("nav", { "aria-label": "Pages" }), who = h("div", { class: "who" }), main = h("main", { id: "main", tabindex: -1 }), tools = h("div", { class: "tools" }), banner = h("div", { class: "banner", role: "alert", hidden: true });
let live: Live | null = null, sheet: Shelved | null = null, page: Page | null = null, unlisten: (() => void) | null = null, shownAt = "", shownHash = "", m: Meta;

// ---- theme ----
function stored(): string | null {
  try { return localStorage.getItem("whyrss-theme"); } catch { return null; }
}
function setTheme(t: string, remember: boolean): void {
  document.documentElement.dataset["theme"] = t;
  if (remember) try { localStorage.setItem("whyrss-theme", t); } catch { /* not kept */ }
  document.dispatchEvent(new Event("whyrss-theme"));
}
const system = matchMedia("(prefers-color-scheme: dark)");
setTheme(stored() ?? (system.matches ? "dark" : "light"), false);
system.addEventListener("change", () => { if (!stored()) setTheme(system.matches ? "dark" : "light", false); });

// ---- addresses ----
interface Place { kind: "processes" | "compare" | "target"; target: string; page: string; params: URLSearchParams }
function place(): Place {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?") as [string, string | undefined], params = new URLSearchParams(query ?? "");
  const shelf = /^profile\/\w+/.exec(path);
  if (shelf) return { kind: "target", target: shelf[0], page: "profile", params };
  const t = /^((?:pid|file)\/\d+)(?:\/(\w+))?/.exec(path);
  if (t) return { kind: "target", target: t[1]!, page: t[2] && PAGES[t[2]] ? t[2] : "ledger", params };
  if (path.startsWith("compare")) return { kind: "compare", target: "", page: "", params };
  const start = reportOf ?? (path === "" ? m.start : null);
  if (start) return { kind: "target", target: start, page: start.startsWith("profile/") ? "profile" : "ledger", params };
  return { kind: "processes", target: "", page: "", params };
}
function setParams(change: Record<string, string | null>): void {
  const at = place();
  for (const [k, v] of Object.entries(change)) {
    if (v === null || v === "") at.params.delete(k);
    else at.params.set(k, v);
  }
  for (const [k] of Object.entries(change)) if (context) { if (at.params.has(k)) context.params.set(k, at.params.get(k)!); else context.params.delete(k); }
  const q = at.params.toString(), path = at.kind === "target" ? `${at.target}/${at.page}` : at.kind;
  history.replaceState(null, "", `#/${path}${q ? `?${q}` : ""}`);
  shownHash = location.hash;
}
let context: Context | null = null;

// ---- processes ----
function processesPage(): Page {
  const text = h("p", { class: "verdict" });
  interface Row extends Process { ledger: Ledger | null; error: string | null }
  let rows: Row[] = [];
  const rssOf = (r: Row): number => r.ledger?.os["rss"] ?? r.rss; // of the moment that the other columns are of
  const t = new Table<Row>("Go processes", [
    { title: "program", key: "program", value: (r) => r.program, sort: (r) => r.program },
    { title: "pid", key: "pid", number: true, value: (r) => String(r.pid), sort: (r) => r.pid },
    { title: "Go", key: "go", value: (r) => r.go, sort: (r) => r.go },
    { title: "RSS", key: "rss", number: true, value: (r) => bytes(rssOf(r)), sort: rssOf },
    { title: "heap profile", key: "profile", number: true, value: (r) => (r.ledger ? (r.ledger.profile.enabled ? bytes(r.ledger.profile.inuse_space) : "off") : r.error || !r.explainable ? "" : "…"), sort: (r) => r.ledger?.profile.inuse_space ?? -1 },
    { title: "gap", key: "gap", number: true, value: (r) => (r.ledger && r.ledger.os["rss"] !== null ? bytes((r.ledger.os["rss"] ?? 0) - r.ledger.profile.inuse_space) : ""), sort: (r) => (r.ledger ? (r.ledger.os["rss"] ?? 0) - r.ledger.profile.inuse_space : -1) },
    { title: "first cause", key: "cause", value: (r) => (r.error ? h("span", { class: "dim" }, r.error) : r.ledger ? r.ledger.causes[0]?.title ?? "nothing wrong" : r.explainable ? "" : `can't be explained: ${r.why ?? ""}`) },
  ], "rss", (r) => { location.hash = `#/pid/${r.pid}/ledger`; });
  let stopped = false, timer = 0;
  async function load(): Promise<void> {
    try {
      const a = await get<{ processes: Process[]; notes: string[] }>("processes");
      const old = new Map(rows.map((r) => [r.pid, r]));
      rows = a.processes.map((p) => ({ ...p, ledger: old.get(p.pid)?.ledger ?? null, error: old.get(p.pid)?.error ?? null }));
      t.set(rows);
      put(text, rows.length === 0 ? "No Go process is running that this user may read." : `${rows.length} Go process${rows.length === 1 ? "" : "es"}. Choose one to see why its RSS is bigger than its heap profile.`);
      put(notes, a.notes.map((n) => h("li", null, n)));
      // the largest first, two at a time: explaining costs a reading each
      const todo = rows.filter((r) => r.readable && r.explainable).sort((x, y) => y.rss - x.rss).slice(0, 24);
      const one = async (): Promise<void> => {
        for (let r = todo.shift(); r && !stopped; r = todo.shift()) {
          try {
            r.ledger = await get<Ledger>(`pid/${r.pid}/ledger?max_age=5000`);
            r.error = null;
          } catch (e) { r.error = e instanceof Error ? e.message : String(e); }
          t.set(rows);
        }
      };
      await Promise.all([one(), one()]);
    } catch (e) { put(text, h("span", { class: "error" }, e instanceof Error ? e.message : String(e))); }
    if (!stopped) timer = window.setTimeout(() => void load(), 5000);
  }
  const notes = h("ul", { class: "notes" });
  const files = m.files.length ? h("section", { class: "card" }, h("h2", null, "Files"), h("ul", null, m.files.map((f, i) => h("li", null, h("a", { href: `#/file/${i}/ledger` }, f))))) : null;
  // ---- profiles: those that the server was started with or was sent ----
  const list = h("ul", { class: "profiles" });
  const file = h("input", { type: "file", id: "profile-file", multiple: true, onchange: () => { void sendAll([...(file.files ?? [])]); file.value = ""; } });
  const sheets = h("section", { class: "card" }, h("h2", null, "Profiles"), list,
    h("div", { class: "controls" }, h("label", { for: "profile-file" }, "Open a profile "), file, h("span", { class: "dim" }, "or drop it anywhere on this page: any format that pprof reads; it stays in this server's memory")));
  void profiles().then((all) => put(list, all.map((x) => h("li", null, h("a", { href: `#/profile/${x.id}` }, x.name), h("span", { class: "dim" }, ` ${x.samples} stacks · ${x.types.join(", ")}`))))).catch(() => { /* said above */ });
  void load();
  return { el: h("div", { class: "page" }, text, h("section", { class: "card" }, h("h2", null, "Go processes on this machine"), t.el, notes), files, sheets), close: () => { stopped = true; clearTimeout(timer); } };
}

/** Sends files to the server and shows the last one. */
async function sendAll(files: File[]): Promise<void> {
  for (const f of files) {
    try {
      const x = await sendProfile(f, f.name);
      if (f === files[files.length - 1]) location.hash = `#/profile/${x.id}`;
    } catch (e) {
      banner.hidden = false;
      put(banner, `${f.name}: ${e instanceof Error ? e.message : String(e)}`);
    }
  }
}
if (!reportOf) {
  document.addEventListener("dragover", (e) => { if (e.dataTransfer?.types.includes("Files")) e.preventDefault(); });
  document.addEventListener("drop", (e) => {
    const files = [...(e.dataTransfer?.files ?? [])];
    if (!files.length) return;
    e.preventDefault();
    void sendAll(files);
  });
}

// ---- frame ----
function drawTools(): void {
  const paused = live?.paused ?? false;
  const menu = h("details", { class: "dropdown" }, h("summary", { "data-key": "dl" }, "Download"), h("div", { class: "dropdown-list" },
    (page?.downloads ?? []).map((d) => h("button", { onclick: () => { menu.open = false; void d.run(); } }, d.title)),
    live && !reportOf ? [
      h("a", { href: `/api/1/${live.target}/report`, download: "whyrss-report.html" }, "All of it as one HTML page"),
      h("button", { onclick: () => { menu.open = false; say(`Kept: ${keep(live!)}. It is on the page Compare now.`); } }, "Keep this moment, to compare"),
    ] : null));
  put(tools,
    live && !reportOf && live.latest?.target.kind === "process" ? h("button", { class: "small", id: "pause", "data-key": "pause", "aria-pressed": paused, title: "Space", onclick: () => live!.pause(!live!.paused) }, paused ? "▶ Go on" : "❚❚ Pause") : null,
    live ? menu : null,
    h("button", { class: "small", id: "theme", "data-key": "theme", "aria-label": "Dark or light", title: "Dark or light", onclick: () => setTheme(document.documentElement.dataset["theme"] === "dark" ? "light" : "dark", true) }, "◐"));
}
function drawState(): void {
  if (!live) {
    put(who, sheet ? [h("strong", null, sheet.name), h("span", { class: "dim" }, ` ${sheet.samples} stacks`)] : null);
    return;
  }
  const l = live.latest;
  const state = reportOf ? `saved ${reportAt}` : live.gone ? "ended" : live.paused ? "paused" : "live";
  put(who, l ? [h("strong", null, base(l.target.exe)), h("span", { class: "dim" }, ` pid ${l.target.pid} · ${l.target.go}`), h("span", { class: `state ${state.split(" ")[0]!}` }, state)] : h("span", { class: "dim" }, live.target));
  banner.hidden = !live.gone;
  banner.textContent = live.gone ? `${live.gone}. What is shown is the last that was read.` : "";
}
function drawNav(at: Place): void {
  put(nav, reportOf ? null : h("a", { href: "#/processes", class: "tab", "data-key": "nav:processes", "aria-current": at.kind === "processes" ? "page" : null }, "Processes"),
    at.kind === "target" ? Object.entries(PAGES).filter(([k]) => k === "profile" || !at.target.startsWith("profile/")).map(([k, p]) => h("a", { href: `#/${at.target}/${k}`, class: "tab", "data-key": `nav:${k}`, "aria-current": at.page === k ? "page" : null }, p.title)) : null,
    reportOf ? null : h("a", { href: at.kind === "target" ? `#/compare?a=${at.target}` : "#/compare", class: "tab", "data-key": "nav:compare", "aria-current": at.kind === "compare" ? "page" : null }, "Compare"));
}
function say(text: string): void {
  spoken.textContent = text;
}

async function show(): Promise<void> {
  const at = place(), key = `${at.kind}/${at.target}/${at.page}`;
  if (key === shownAt && location.hash === shownHash && page) return;
  shownAt = key;
  shownHash = location.hash;
  unlisten?.();
  page?.close?.();
  page = null;
  if (at.kind !== "target" || live?.target !== at.target) {
    live?.stop();
    live = null;
    sheet = null;
    drawState();
  }
  drawNav(at);
  if (at.target.startsWith("profile/")) {
    const found = (await profiles().catch(() => [])).find((x) => `profile/${x.id}` === at.target);
    if (shownAt !== key) return;
    if (!found) {
      main.replaceChildren(h("div", { class: "page" }, h("section", { class: "card" }, h("h2", null, "This profile is not here any more"), h("p", null, "The server keeps profiles in memory until it ends, and the oldest go first. ", h("a", { href: "#/processes" }, "Send it again.")))));
      shownAt = "";
      return;
    }
    sheet = found;
  } else if (at.kind === "target" && !live) {
    const mine = (live = new Live(at.target));
    live.onstate(() => { if (live === mine) { drawState(); if (mine.gone || mine.paused !== toolsPaused) { toolsPaused = mine.paused; drawTools(); } } });
    main.replaceChildren(h("p", { class: "loading dim" }, "Reading the process …"));
    try {
      await mine.start();
    } catch (e) {
      if (live !== mine) return;
      main.replaceChildren(h("div", { class: "page" }, h("section", { class: "card" }, h("h2", null, "It can't be explained"), h("p", { class: "error" }, e instanceof Error ? e.message : String(e)), h("p", null, h("a", { href: "#/processes" }, "The Go processes on this machine")))));
      shownAt = "";
      return;
    }
    if (live !== mine || shownAt !== key) return;
  }
  context = { target: at.target, title: sheet?.name ?? (live?.latest ? base(live.latest.target.exe) : ""), live: live!, meta: m, params: at.params, setParams, say };
  page = at.kind === "target" ? PAGES[at.page]!.make(context) : at.kind === "compare" ? comparePage(m, at.params, setParams) : processesPage();
  main.replaceChildren(page.el);
  document.title = plain(at.kind === "target" ? `${PAGES[at.page]!.title} · ${context.title} · whyrss` : at.kind === "compare" ? "Compare · whyrss" : "whyrss");
  if (live && page.update) {
    const fn = page.update;
    unlisten = live.listen((l) => { if (!live?.paused || !page || page.update === fn) fn(l); });
  }
  drawState();
  drawTools();
  window.scrollTo(0, 0);
}
let toolsPaused = false;

document.addEventListener("keydown", (e) => {
  if (e.target instanceof HTMLElement && e.target.matches("input,select,textarea,button,summary,canvas,a")) return;
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  const at = place(), keys = Object.keys(PAGES);
  if (e.key === " " && live) { e.preventDefault(); live.pause(!live.paused); }
  else if (at.kind === "target" && e.key >= "1" && e.key <= String(keys.length)) location.hash = `#/${at.target}/${keys[Number(e.key) - 1]!}`;
  else if (e.key === "p" && !reportOf) location.hash = "#/processes";
  else if (e.key === "/") {
    const box = document.querySelector<HTMLInputElement>("input[type=search]");
    if (!box) return;
    e.preventDefault();
    box.closest("details")?.setAttribute("open", "");
    box.focus();
  }
});
window.addEventListener("hashchange", () => void show());
// the address after # is the page that is shown, so the link that skips the header can't change it
document.querySelector(".skip")?.addEventListener("click", (e) => { e.preventDefault(); main.focus(); });

add(app, [h("header", null, h("a", { class: "brand", href: reportOf ? `#/${reportOf}/ledger` : "#/processes", "aria-label": "whyrss, all processes" }, "why", h("b", null, "rss")), who, tools, nav), banner, main, spoken]);
drawTools();
meta().then((x) => { m = x; return show(); }).catch((e: unknown) => main.replaceChildren(h("p", { class: "error" }, e instanceof Error ? e.message : String(e))));
