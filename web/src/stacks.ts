// A profile as stacks, and what pprof's page makes of it: filters, tables, trees, differences.
// A server filters with pprof's own engine; a saved report has none, so the filters are here as well.
export interface Stacks {
  types: { type: string; unit: string }[];
  default: number;
  totals: number[]; // of the whole profile
  functions: [string, string][]; // name, file
  frames: [number, number][]; // function, line
  samples: { v: number[]; s: number[]; l?: [string, string][] }[]; // values, frames from the leaf up, labels
  left_out?: number;
  note?: string;
}

export interface Config { si: number; f: string; i: string; h: string; s: string; sf: string; tf: string; g: "functions" | "filefunctions" | "files" | "lines"; invert: boolean; rel: boolean }

/** One stack with the names that the granularity gives, from the root to the leaf. */
export interface Path { names: string[]; v: number }

function regex(text: string): RegExp | null {
  if (!text) return null;
  try {
    return new RegExp(text);
  } catch {
    throw new Error(`${text}: not a regular expression`);
  }
}

export function frameName(p: Stacks, frame: number, g: Config["g"]): string {
  const [fn, line] = p.frames[frame]!, [name, file] = p.functions[fn]!;
  if (g === "files") return file || name;
  if (g === "filefunctions") return file ? `${name} ${file}` : name;
  return g === "lines" ? `${name} ${file.slice(file.lastIndexOf("/") + 1)}:${line}` : name;
}

/** `filtered`: the server has done that. */
export function paths(p: Stacks, c: Config, filtered: boolean): { paths: Path[]; total: number; all: number } {
  if (filtered) c = { ...c, f: "", i: "", h: "", s: "", sf: "", tf: "" };
  const f = regex(c.f), ig = regex(c.i), hide = regex(c.h), show = regex(c.s), from = regex(c.sf), tag = regex(c.tf);
  const names = p.frames.map((_, i) => frameName(p, i, c.g));
  const match = (re: RegExp, i: number): boolean => {
    const fn = p.functions[p.frames[i]![0]]!;
    return re.test(fn[0]) || re.test(fn[1]);
  };
  const out: Path[] = [];
  let all = 0, total = 0;
  for (const x of p.samples) {
    const v = x.v[c.si] ?? 0;
    if (v === 0) continue;
    all += v;
    if (f && !x.s.some((i) => match(f, i))) continue;
    if (ig && x.s.some((i) => match(ig, i))) continue;
    if (tag && !(x.l ?? []).some(([k, t]) => tag.test(`${k}:${t}`) || tag.test(t))) continue;
    let s = [...x.s].reverse();
    if (from) {
      const at = s.findIndex((i) => match(from, i));
      if (at < 0) continue;
      s = s.slice(at);
    }
    if (hide) s = s.filter((i) => !match(hide, i));
    if (show) s = s.filter((i) => match(show, i));
    total += v;
    if (s.length) out.push({ names: s.map((i) => names[i]!), v });
  }
  return { paths: out, total, all: filtered ? p.totals[c.si] ?? all : all };
}

export interface Node { name: string; v: number; self: number; base: number; kids: Map<string, Node> }

export function tree(now: Path[], before: Path[], invert: boolean): Node {
  const root: Node = { name: "all", v: 0, self: 0, base: 0, kids: new Map() };
  const walk = (list: Path[], base: boolean): void => {
    for (const p of list) {
      let n = root;
      if (base) n.base += p.v;
      else n.v += p.v;
      const names = invert ? [...p.names].reverse() : p.names;
      for (const name of names) {
        let k = n.kids.get(name);
        if (!k) n.kids.set(name, (k = { name, v: 0, self: 0, base: 0, kids: new Map() }));
        if (base) k.base += p.v;
        else k.v += p.v;
        n = k;
      }
      if (!base) n.self += p.v;
    }
  };
  walk(now, false);
  walk(before, true);
  return root;
}

export interface Row { name: string; flat: number; cum: number }

/** Flat and cumulative values; a function that calls itself is counted once a stack. */
export function top(list: Path[]): Map<string, Row> {
  const rows = new Map<string, Row>();
  for (const p of list) {
    const seen = new Set<string>();
    p.names.forEach((name, i) => {
      let r = rows.get(name);
      if (!r) rows.set(name, (r = { name, flat: 0, cum: 0 }));
      if (i === p.names.length - 1) r.flat += p.v;
      if (!seen.has(name)) r.cum += p.v;
      seen.add(name);
    });
  }
  return rows;
}

export interface Edge { from: string; to: string; v: number }

export function edges(list: Path[]): Edge[] {
  const all = new Map<string, Edge>();
  for (const p of list) {
    const seen = new Set<string>();
    for (let i = 1; i < p.names.length; i++) {
      const from = p.names[i - 1]!, to = p.names[i]!, key = `${from}\0${to}`;
      if (seen.has(key) || from === to) continue;
      seen.add(key);
      let e = all.get(key);
      if (!e) all.set(key, (e = { from, to, v: 0 }));
      e.v += p.v;
    }
  }
  return [...all.values()];
}
