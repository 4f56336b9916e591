// Elements without markup: text is always text, so that a process named <script> is just a name.
export type Child = Node | string | number | null | undefined | false | Child[];
type Attrs = Record<string, unknown>;

const SVG = "http://www.w3.org/2000/svg";

/** Codes that would move, hide or turn round what is beside them are shown as what they are: names come from outside. */
export function plain(text: string): string {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, (c) => (c.charCodeAt(0) < 256 ? `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}` : `\\u${c.charCodeAt(0).toString(16)}`));
}

function fill(el: Element, attrs: Attrs | null, children: Child[]): void {
  for (const [key, value] of Object.entries(attrs ?? {})) {
    if (key.startsWith("aria-") && typeof value === "boolean") {
      el.setAttribute(key, String(value));
      continue;
    }
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) el.addEventListener(key.slice(2), value as EventListener);
    else if (key === "style") Object.assign((el as HTMLElement).style, value as object); // CSSOM: the CSP has no inline styles
    else el.setAttribute(key, value === true ? "" : key === "title" || key === "aria-label" ? plain(String(value)) : String(value));
  }
  add(el, children);
}

export function add(el: Element, children: Child[]): void {
  for (const c of children) {
    if (c === null || c === undefined || c === false) continue;
    if (Array.isArray(c)) add(el, c);
    else el.append(c instanceof Node ? c : plain(String(c)));
  }
}

export function h<K extends keyof HTMLElementTagNameMap>(tag: K, attrs: Attrs | null = null, ...children: Child[]): HTMLElementTagNameMap[K] {
  const el = document.createElement(tag);
  fill(el, attrs, children);
  return el;
}

export function s<K extends keyof SVGElementTagNameMap>(tag: K, attrs: Attrs | null = null, ...children: Child[]): SVGElementTagNameMap[K] {
  const el = document.createElementNS(SVG, tag) as SVGElementTagNameMap[K];
  fill(el, attrs, children);
  return el;
}

/** Puts new children in place of the old ones; equal ones stay, so that nothing flickers. */
export function put(el: Element, ...children: Child[]): void {
  const next = document.createElement(el.tagName);
  const focused = document.activeElement instanceof HTMLElement && el.contains(document.activeElement) ? document.activeElement.dataset["key"] : undefined;
  add(next, children);
  patch(el, next);
  if (focused !== undefined && !el.contains(document.activeElement)) el.querySelector<HTMLElement>(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

/** Makes the children of `to` look like those of `from`, keeping elements of the same kind. */
function patch(to: Element, from: Element): void {
  const want = [...from.childNodes];
  for (let i = 0; i < want.length; i++) {
    const w = want[i]!, have = to.childNodes[i];
    if (!have) to.append(w);
    else if (!same(have, w)) to.replaceChild(w, have);
  }
  while (to.childNodes.length > want.length) to.lastChild!.remove();
}

function same(a: Node, b: Node): boolean {
  return a.isEqualNode(b) && !(a instanceof Element && hasListeners(b as Element));
}

// Elements with handlers must be replaced: a clone that looks alike would keep an old closure.
function hasListeners(el: Element): boolean {
  return el.matches("button,[tabindex],a,summary,select,input") || el.querySelector("button,[tabindex],a,summary,select,input") !== null;
}

export interface Column<T> {
  title: string;
  key: string;
  number?: boolean;
  value: (row: T) => Child;
  sort?: (row: T) => number | string;
  hint?: string;
}

/** A table that sorts by a click on a heading and says so to screen readers. */
export class Table<T> {
  readonly el = h("div", { class: "table-wrap", tabindex: 0, role: "region" });
  private by: string;
  private down = true;
  private rows: T[] = [];
  private readonly table = h("table");
  constructor(caption: string, private readonly columns: Column<T>[], by: string, private readonly onclick?: (row: T) => void,
              private readonly limit = 500) {
    this.by = by;
    this.el.setAttribute("aria-label", caption);
    this.el.append(this.table);
  }
  set(rows: T[]): void {
    this.rows = rows;
    this.draw();
  }
  /** What is shown, as numbers where it is numbers. */
  csv(): string {
    const cell = (x: string): string => (/[",\n]/.test(x) ? `"${x.replaceAll('"', '""')}"` : x), text = (c: Column<T>, r: T): string => (c.number && c.sort ? String(c.sort(r)) : h("i", null, c.value(r)).textContent ?? "");
    return [this.columns.map((c) => cell(c.title)), ...this.rows.map((r) => this.columns.map((c) => cell(text(c, r))))].map((r) => `${r.join(",")}\n`).join("");
  }
  private draw(): void {
    const c = this.columns.find((x) => x.key === this.by);
    const rows = [...this.rows];
    if (c?.sort) {
      const of = c.sort;
      rows.sort((a, b) => {
        const x = of(a), y = of(b);
        const d = typeof x === "number" && typeof y === "number" ? y - x : String(x).localeCompare(String(y));
        return this.down ? d : -d;
      });
    }
    const focused = document.activeElement instanceof HTMLElement && this.table.contains(document.activeElement) ? document.activeElement.dataset["key"] : null;
    const head = h("thead", null, h("tr", null, this.columns.map((col) =>
      h("th", { scope: "col", class: col.number ? "num" : null, title: col.hint,
        "aria-sort": this.by === col.key ? (this.down ? "descending" : "ascending") : null },
        col.sort ? h("button", { class: "sort", "data-key": `h:${col.key}`, onclick: () => this.sort(col.key) }, col.title,
          this.by === col.key ? h("span", { "aria-hidden": "true" }, this.down ? " ▾" : " ▴") : null) : col.title))));
    const body = h("tbody", null, rows.slice(0, this.limit).map((row) => h("tr", null, this.columns.map((col, i) =>
      h(i ? "td" : "th", { class: col.number ? "num" : null, scope: i ? null : "row" },
        i === 0 && this.onclick ? h("button", { class: "link", "data-key": `r:${String(rows.indexOf(row))}`, onclick: () => this.onclick!(row) }, col.value(row)) : col.value(row))))));
    this.table.replaceChildren(head, body);
    if (rows.length > this.limit)
      body.append(h("tr", null, h("td", { colspan: this.columns.length, class: "dim" }, `${rows.length - this.limit} more rows: in the CSV and JSON`)));
    if (focused) this.table.querySelector<HTMLElement>(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }
  private sort(key: string): void {
    if (this.by === key) this.down = !this.down;
    else { this.by = key; this.down = true; }
    this.draw();
  }
}

export function save(name: string, data: Blob | string, type = "text/plain"): void {
  const url = URL.createObjectURL(typeof data === "string" ? new Blob([data], { type }) : data);
  const a = h("a", { href: url, download: name });
  document.body.append(a);
  a.click();
  a.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

/** An SVG as a file of its own: the colours that the page's style sheet gives are written into it. */
export function saveSvg(name: string, svg: SVGElement): void {
  const copy = svg.cloneNode(true) as SVGElement;
  const from = svg.querySelectorAll<SVGElement>("*"), to = copy.querySelectorAll<SVGElement>("*");
  from.forEach((el, i) => {
    const st = getComputedStyle(el), t = to[i]!;
    for (const p of ["fill", "stroke", "font-size", "font-family", "font-weight", "opacity", "text-anchor"]) t.style.setProperty(p, st.getPropertyValue(p));
  });
  copy.setAttribute("xmlns", SVG);
  copy.style.background = getComputedStyle(document.body).backgroundColor;
  save(name, new XMLSerializer().serializeToString(copy), "image/svg+xml");
}

export function savePng(name: string, canvas: HTMLCanvasElement): void {
  canvas.toBlob((b) => { if (b) save(name, b); });
}
