// The address space, one cell a page: fragmentation can be seen.
import { get } from "./api";
import type { Ledger } from "./api";
import { lineColour, ramp, rgb } from "./colours";
import { h, put, save, savePng } from "./dom";
import { base, bytes, percent } from "./format";
import type { Context, Page } from "./page";

interface Segment { start: string; path: string; runs: number[] }
interface Pages { unit: number; lines: string[]; segments: Segment[] }
interface At { address: string; resident: boolean; mapping?: { path: string; perms: string };
  span?: { start: string; state: string; bytes: number; class: number; noscan: boolean; slot_bytes: number; slots: number; live: number; new: number; dead: number; holes: number };
  slot?: { start: string; index: number; is: string } | null; stack?: { of: string; goroutine?: number; state?: string; created_by?: string; used?: boolean };
  free_pages?: { is: string }; runtime?: { is: string }; sites?: { bytes: number; objects: number; here: boolean; stack: string[] }[] }

const ABSENT = 63, HUGE = 64, SWAPPED = 128, NO_SPAN = 255;
type Mode = "line" | "used" | "residency" | "age";

const AGE: [string, string, string[]][] = [
  ["new since the last GC", "#e69f00", ["heap.new"]], ["survived a GC", "#0072b2", ["heap.live"]], ["dead, not swept", "#9ecae1", ["heap.dead"]],
  ["free for new objects", "#f7f1a0", ["heap.slots", "heap.tail", "heap.free", "heap.released"]]];

export function mapPage(c: Context): Page {
  const canvas = h("canvas", { class: "map", tabindex: 0, role: "application", "aria-label": "Memory map, one cell a page. Arrow keys move the cell, plus and minus zoom, 0 shows all.", "aria-describedby": "map-tip" });
  const tip = h("div", { class: "map-tip", id: "map-tip", role: "status" }, "Point at a page, or move with the arrow keys.");
  const legend = h("ul", { class: "legend", "aria-label": "Colours" });
  const mode = h("select", { id: "mode", onchange: () => { c.setParams({ by: mode.value }); paint(); } },
    [["line", "what it is for"], ["used", "how full it is"], ["residency", "in memory, huge, swapped"], ["age", "age: since which GC"]].map(([v, t]) => h("option", { value: v, selected: c.params.get("by") === v }, t)));
  const jump = h("select", { id: "jump", onchange: () => goto(Number(jump.value)) });
  const stat = h("span", { class: "dim" });
  const zoomIn = h("button", { class: "small", id: "zoom-in", "aria-label": "Zoom in", onclick: () => zoom(1.6) }, "+");
  const zoomOut = h("button", { class: "small", id: "zoom-out", "aria-label": "Zoom out", onclick: () => zoom(1 / 1.6) }, "−");
  const fit = h("button", { class: "small", id: "zoom-all", onclick: () => { fitAll(); draw(); } }, "Show all");

  let data: Pages | null = null;
  let cols = 256, rows = 0;
  let segRow: number[] = [], segStart: bigint[] = [];
  let line = new Uint8Array(0), used = new Uint8Array(0), seg = new Int32Array(0);
  const sheet = document.createElement("canvas");
  let scale = 1, tx = 0, ty = 0, cursor = -1, only: string | null = null;
  let wanted = 0;

  function layout(): void {
    if (!data) return;
    const cells = data.segments.map((g) => g.runs.reduce((n, v, i) => (i % 3 === 0 ? n + v : n), 0));
    const total = cells.reduce((a, b) => a + b, 0) || 1;
    const ratio = Math.max(0.4, canvas.clientWidth / Math.max(1, canvas.clientHeight));
    cols = Math.max(64, Math.min(4096, Math.ceil(Math.sqrt(total * ratio) / 32) * 32));
    segRow = [];
    segStart = data.segments.map((g) => BigInt(g.start));
    rows = 0;
    // small neighbours share rows: only a large segment begins one of its own
    let at = 0;
    const place: number[] = [];
    cells.forEach((n) => {
      if (n > cols * 2 || (at % cols) + n > cols * 1.5) at = Math.ceil(at / cols) * cols;
      place.push(at);
      at += n + (n > cols ? 0 : 2);
      if (n > cols) at = Math.ceil(at / cols) * cols + (n > cols * 8 ? cols : 0);
    });
    rows = Math.max(1, Math.ceil(at / cols));
    segRow = place;
    line = new Uint8Array(rows * cols).fill(255);
    used = new Uint8Array(rows * cols).fill(NO_SPAN);
    seg = new Int32Array(rows * cols).fill(-1);
    data.segments.forEach((g, i) => {
      let p = place[i]!;
      for (let k = 0; k < g.runs.length; k += 3) {
        const n = g.runs[k]!;
        line.fill(g.runs[k + 1]!, p, p + n);
        used.fill(g.runs[k + 2]!, p, p + n);
        seg.fill(i, p, p + n);
        p += n;
      }
    });
    const big = cells.map((n, i) => [n, i] as const).sort((a, b) => b[0] - a[0]).slice(0, 40);
    jump.replaceChildren(h("option", { value: -1 }, "Go to …"), ...big.map(([n, i]) => h("option", { value: i }, `${base(data!.segments[i]!.path) || "[anon]"} ${data!.segments[i]!.start} · ${bytes(n * data!.unit)}`)));
    stat.textContent = `${data.segments.length} stretches · one cell is ${bytes(data.unit)}`;
  }

  function colourOf(i: number, m: Mode): [number, number, number, number] {
    const v = line[i]!;
    if (v === 255) return [0, 0, 0, 0];
    const id = data!.lines[v & 63] ?? "", dim = only !== null && only !== id;
    const dark = document.documentElement.dataset["theme"] === "dark";
    const paper: [number, number, number] = dark ? [38, 42, 50] : [232, 235, 240];
    let out: [number, number, number];
    if ((v & 63) === ABSENT) out = v & SWAPPED ? rgb("#cc79a7") : paper;
    else if (m === "line") out = rgb(lineColour(id));
    else if (m === "used") out = used[i] === NO_SPAN ? (dark ? [70, 76, 88] : [200, 205, 213]) : rgb(ramp(used[i]! / 100));
    else if (m === "residency") out = rgb(v & SWAPPED ? "#cc79a7" : v & HUGE ? "#d55e00" : "#0072b2");
    else out = rgb(AGE.find((a) => a[2].includes(id))?.[1] ?? (dark ? "#464c58" : "#c8cdd5"));
    if (dim) return [...out.map((x, k) => Math.round(x * 0.15 + paper[k]! * 0.85)) as [number, number, number], 255];
    return [...out, 255];
  }

  /** All cells into a picture of one pixel each; the view is a scaled part of it. */
  function paint(): void {
    if (!data) return;
    sheet.width = cols;
    sheet.height = rows;
    const g = sheet.getContext("2d")!, img = g.createImageData(cols, rows), m = mode.value as Mode;
    const known = new Map<number, [number, number, number, number]>();
    for (let i = 0; i < line.length; i++) {
      const key = line[i]! << 8 | used[i]!;
      let col = known.get(key);
      if (!col) known.set(key, (col = colourOf(i, m)));
      img.data.set(col, i * 4);
    }
    g.putImageData(img, 0, 0);
    drawLegend();
    draw();
  }

  function drawLegend(): void {
    const m = mode.value as Mode, total = new Map<number, number>();
    for (const v of line) if (v !== 255) total.set(v, (total.get(v) ?? 0) + 1);
    const amount = (ok: (v: number) => boolean): number => [...total].reduce((n, [v, k]) => n + (ok(v) ? k : 0), 0) * (data?.unit ?? 4096);
    const item = (colour: string, text: string, n: number, id: string | null): HTMLElement =>
      h("li", null, h("button", { class: "legend-item", "aria-pressed": id !== null && only === id, "data-key": `lg:${text}`, disabled: id === null,
        onclick: () => { only = only === id ? null : id; paint(); } }, h("span", { class: "swatch", style: { backgroundColor: colour } }), text, h("span", { class: "dim" }, ` ${bytes(n)}`)));
    const absent = item("var(--absent)", "not in memory", amount((v) => (v & 63) === ABSENT && !(v & SWAPPED)), null);
    if (m === "line") {
      const ids = data!.lines.map((id, i) => ({ id, n: amount((v) => (v & 63) === i) })).filter((x) => x.n > 0).sort((a, b) => b.n - a.n);
      put(legend, ids.map((x) => item(lineColour(x.id), c.meta.lines.find((l) => l.id === x.id)?.title ?? x.id, x.n, x.id)), absent);
    } else if (m === "used") {
      put(legend, [0, 0.25, 0.5, 0.75, 1].map((p) => h("li", null, h("span", { class: "legend-item" }, h("span", { class: "swatch", style: { backgroundColor: ramp(p) } }), `${p * 100} % of the page is in use`))),
        h("li", { class: "dim" }, "grey: not of the Go heap"));
    } else if (m === "residency") {
      put(legend, item("#0072b2", "in memory", amount((v) => (v & 63) !== ABSENT && !(v & (HUGE | SWAPPED))), null), item("#d55e00", "on a huge page", amount((v) => (v & HUGE) !== 0), null),
        item("#cc79a7", "swapped", amount((v) => (v & SWAPPED) !== 0), null), absent);
    } else {
      put(legend, AGE.map(([t, col, ids]) => item(col, t, amount((v) => ids.includes(data!.lines[v & 63] ?? "")), null)), h("li", { class: "dim" }, "grey: not of the Go heap"));
    }
  }

  function draw(): void {
    const dpr = window.devicePixelRatio || 1, w = canvas.clientWidth, ht = canvas.clientHeight;
    if (canvas.width !== Math.round(w * dpr) || canvas.height !== Math.round(ht * dpr)) {
      canvas.width = Math.round(w * dpr);
      canvas.height = Math.round(ht * dpr);
    }
    const g = canvas.getContext("2d")!;
    g.setTransform(dpr, 0, 0, dpr, 0, 0);
    g.clearRect(0, 0, w, ht);
    if (!data) return;
    g.imageSmoothingEnabled = scale < 1;
    g.drawImage(sheet, tx, ty, cols * scale, rows * scale);
    const css = getComputedStyle(canvas);
    if (scale >= 7) { // cells apart
      g.strokeStyle = css.getPropertyValue("--paper");
      g.lineWidth = 1;
      g.beginPath();
      for (let x = Math.max(0, Math.floor(-tx / scale)); x <= Math.min(cols, (w - tx) / scale); x++) { g.moveTo(tx + x * scale, Math.max(0, ty)); g.lineTo(tx + x * scale, Math.min(ht, ty + rows * scale)); }
      for (let y = Math.max(0, Math.floor(-ty / scale)); y <= Math.min(rows, (ht - ty) / scale); y++) { g.moveTo(Math.max(0, tx), ty + y * scale); g.lineTo(Math.min(w, tx + cols * scale), ty + y * scale); }
      g.stroke();
    }
    if (cursor >= 0 && seg[cursor] !== undefined) {
      const x = tx + (cursor % cols) * scale, y = ty + Math.floor(cursor / cols) * scale;
      g.strokeStyle = css.getPropertyValue("--ink");
      g.lineWidth = 2;
      g.strokeRect(x - 1, y - 1, Math.max(4, scale) + 2, Math.max(4, scale) + 2);
    }
    canvas.dataset["scale"] = scale.toFixed(3);
  }

  function fitAll(): void {
    scale = Math.min(canvas.clientWidth / cols, canvas.clientHeight / Math.max(1, rows));
    tx = (canvas.clientWidth - cols * scale) / 2;
    ty = Math.max(0, (canvas.clientHeight - rows * scale) / 2);
  }
  function zoom(by: number, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2): void {
    const next = Math.max(0.05, Math.min(48, scale * by));
    tx = x - ((x - tx) / scale) * next;
    ty = y - ((y - ty) / scale) * next;
    scale = next;
    draw();
  }
  function goto(i: number): void {
    if (i < 0 || segRow[i] === undefined) return;
    cursor = segRow[i]!;
    scale = Math.max(scale, 3);
    tx = 20;
    ty = 20 - Math.floor(cursor / cols) * scale;
    draw();
    describe(cursor);
  }

  function cellAt(x: number, y: number): number {
    const cx = Math.floor((x - tx) / scale), cy = Math.floor((y - ty) / scale);
    return cx < 0 || cy < 0 || cx >= cols || cy >= rows ? -1 : cy * cols + cx;
  }

  const cache = new Map<string, At>();
  let timer = 0;
  function describe(i: number): void {
    const g = i >= 0 ? seg[i]! : -1;
    if (!data || g === undefined || g < 0) {
      put(tip, "Point at a page, or move with the arrow keys.");
      return;
    }
    const address = "0x" + (segStart[g]! + BigInt(i - segRow[g]!) * BigInt(data.unit)).toString(16), v = line[i]!, u = used[i]!;
    const title = c.meta.lines.find((l) => l.id === data!.lines[v & 63])?.title ?? (v & SWAPPED ? "swapped out" : "not in memory");
    const head = [h("strong", null, title), u !== NO_SPAN ? `, ${u} % in use` : "", v & HUGE ? ", huge page" : "", h("br"), h("code", null, address), " ", h("span", { class: "dim path" }, data.segments[g]!.path)];
    const known = cache.get(address);
    put(tip, head, known ? more(known) : null);
    clearTimeout(timer);
    if (known || (v & 63) === ABSENT) return;
    const mine = ++wanted;
    timer = window.setTimeout(() => {
      get<At>(`${c.target}/at?address=${address}&max_age=60000`).then((a) => {
        if (cache.size > 2000) cache.clear();
        cache.set(address, a);
        if (mine === wanted) put(tip, head, more(a));
      }).catch(() => { /* the picture stays */ });
    }, 90);
  }
  function more(a: At): Node[] {
    const out: Node[] = [];
    if (a.span && a.span.state === "heap")
      out.push(h("div", null, `span of ${bytes(a.span.bytes)}, class ${a.span.class} (${bytes(a.span.slot_bytes)}${a.span.noscan ? ", no pointers" : ""}): `,
        h("strong", null, `${a.span.live + a.span.new + a.span.dead} of ${a.span.slots} slots used`), ` (${percent((a.span.live + a.span.new + a.span.dead) / Math.max(1, a.span.slots))}), ${a.span.live} live, ${a.span.new} new, ${a.span.holes} holes`));
    else if (a.span) out.push(h("div", null, `${a.span.state} span of ${bytes(a.span.bytes)}`));
    if (a.slot) out.push(h("div", { class: "dim" }, `slot ${a.slot.index} at ${a.slot.start}: ${a.slot.is}`));
    if (a.stack) out.push(h("div", null, `stack of ${a.stack.of}${a.stack.goroutine ? ` ${a.stack.goroutine}, ${a.stack.state ?? ""}, created by ${a.stack.created_by ?? "?"}` : ""}`));
    if (a.free_pages) out.push(h("div", null, `pages that are ${a.free_pages.is}`));
    if (a.runtime) out.push(h("div", null, `runtime: ${a.runtime.is}`));
    for (const x of a.sites ?? []) out.push(h("div", null, x.here ? "this object" : "in this span", ", sampled: ", h("strong", null, bytes(x.bytes)), x.objects > 1 ? ` in ${x.objects} objects` : "", " allocated by ", h("code", null, x.stack.slice(0, 4).join(" ← ") || "the runtime")));
    if (a.span?.state === "heap" && a.sites?.length === 0) out.push(h("div", { class: "dim" }, "no object of this span was sampled: which call made them is in no profile"));
    return out;
  }

  // pointer: drag pans, wheel zooms, two fingers pinch
  const pointers = new Map<number, { x: number; y: number }>();
  let moved = false;
  canvas.addEventListener("pointerdown", (e) => {
    canvas.setPointerCapture(e.pointerId);
    pointers.set(e.pointerId, { x: e.offsetX, y: e.offsetY });
    moved = false;
  });
  canvas.addEventListener("pointermove", (e) => {
    const p = pointers.get(e.pointerId);
    if (p && pointers.size === 1) {
      if (Math.abs(e.offsetX - p.x) + Math.abs(e.offsetY - p.y) > 2) moved = true;
      tx += e.offsetX - p.x;
      ty += e.offsetY - p.y;
      draw();
    } else if (p && pointers.size === 2) {
      const [other] = [...pointers].filter(([id]) => id !== e.pointerId).map(([, q]) => q);
      const before = Math.hypot(p.x - other!.x, p.y - other!.y), after = Math.hypot(e.offsetX - other!.x, e.offsetY - other!.y);
      moved = true;
      if (before > 0) zoom(after / before, (e.offsetX + other!.x) / 2, (e.offsetY + other!.y) / 2);
    }
    if (p) pointers.set(e.pointerId, { x: e.offsetX, y: e.offsetY });
    else describe(cellAt(e.offsetX, e.offsetY));
  });
  const up = (e: PointerEvent): void => {
    pointers.delete(e.pointerId);
    if (!moved && e.type === "pointerup") {
      cursor = cellAt(e.offsetX, e.offsetY);
      draw();
      describe(cursor);
    }
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("wheel", (e) => {
    e.preventDefault();
    zoom(Math.exp(-e.deltaY / 400), e.offsetX, e.offsetY);
  }, { passive: false });
  canvas.addEventListener("keydown", (e) => {
    const step: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -cols, ArrowDown: cols };
    if (e.key === "+" || e.key === "=") zoom(1.6);
    else if (e.key === "-") zoom(1 / 1.6);
    else if (e.key === "0") { fitAll(); draw(); }
    else if (step[e.key] !== undefined) {
      cursor = Math.max(0, Math.min(line.length - 1, (cursor < 0 ? 0 : cursor) + step[e.key]! * (e.shiftKey ? 16 : 1)));
      const x = tx + (cursor % cols) * scale, y = ty + Math.floor(cursor / cols) * scale;
      if (x < 0 || x > canvas.clientWidth) tx -= x - canvas.clientWidth / 2;
      if (y < 0 || y > canvas.clientHeight) ty -= y - canvas.clientHeight / 2;
      draw();
      describe(cursor);
    } else return;
    e.preventDefault();
  });
  const theme = (): void => paint();
  document.addEventListener("whyrss-theme", theme);
  const resize = new ResizeObserver(() => draw());
  resize.observe(canvas);

  let first = true, busy = false, last = 0;
  async function load(): Promise<void> {
    if (busy) return;
    busy = true;
    try {
      data = await get<Pages>(`${c.target}/pages?max_age=10000`);
      cache.clear();
      layout();
      if (first) fitAll();
      first = false;
      paint();
    } catch (e) {
      put(tip, h("span", { class: "error" }, e instanceof Error ? e.message : String(e)));
    } finally {
      busy = false;
    }
  }
  const el = h("div", { class: "page" },
    h("section", { class: "card map-card" },
      h("div", { class: "controls" }, h("label", { for: "mode" }, "Colour by "), mode, h("label", { for: "jump", class: "sr" }, "Go to a stretch"), jump, zoomIn, zoomOut, fit, stat),
      h("div", { class: "map-box" }, canvas), tip, legend));
  return { el, update: (_l: Ledger) => {
    if (Date.now() - last < 4000) return; // the picture changes slowly, and a moving one can't be read
    last = Date.now();
    void load();
  }, close: () => {
    resize.disconnect();
    document.removeEventListener("whyrss-theme", theme);
  }, downloads: [{ title: "The map (PNG)", run: () => savePng("whyrss-map.png", sheet) },
    { title: "The map (JSON)", run: () => { if (data) save("whyrss-map.json", JSON.stringify(data), "application/json"); } }] };
}
