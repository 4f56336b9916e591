// The server's answers, typed as far as the page reads them. A saved report carries them in itself.
export interface LedgerLine { id: string; bytes: number; resident: number | null; swapped: number | null }
export interface BridgeRow { id: string; delta: number | null; sum: number | null; why: string }
export interface Action { do: string; saves: number; costs: string }
export interface Cause { id: string; title: string; bytes: number; share: number | null; confidence: string; evidence: string[]; actions: Action[] }
export interface Target { kind: string; pid: number; exe: string; go: string }
export interface Read { at: string; ms: number; stopped_ms: number; skew: number; consistent: boolean }
export interface Ledger {
  target: Target; read: Read;
  os: Record<string, number | null>;
  cgroup: Record<string, number | string | null> | null;
  profile: { enabled: boolean; rate: number; inuse_space: number; error: number | null; gc_cycle: number };
  lines: LedgerLine[]; bridge: BridgeRow[]; container: { id: string; delta: number; sum: number }[] | null;
  causes: Cause[]; verdict: string; notes: string[];
}
export interface Process { pid: number; program: string; go: string; rss: number; readable: boolean; explainable: boolean; why: string | null; exe: string }
export interface Meta {
  version: string;
  lines: { id: string; title: string; why: string; bridge: string }[];
  bridge: { id: string; title: string; why: string }[];
  container: { id: string; title: string; why: string }[];
  memstats: { name: string; kind: string; meaning: string }[];
  files: string[];
  start: string | null; // the only target that the server was started with
}
/** A profile that the server holds: it was started with it, or a browser sent it. */
export interface Shelved { id: string; name: string; given: boolean; samples: number; time: number; types: string[] }

interface Saved { target: string; at: string; answers: Record<string, unknown> }
const saved = ((): Saved | null => {
  const el = document.getElementById("whyrss-report");
  return el ? JSON.parse(el.textContent ?? "null") as Saved : null;
})();

/** The one target of a saved report; null when a server answers. */
export const reportOf = saved?.target ?? null;
export const reportAt = saved?.at ?? "";

export class ApiError extends Error {
  constructor(readonly status: number, text: string) { super(text); }
}

async function ask(path: string, init: RequestInit): Promise<string> {
  let r: Response;
  try {
    r = await fetch(`/api/1/${path}`, init);
  } catch (e) {
    if (e instanceof DOMException && e.name === "AbortError") throw e;
    throw new ApiError(0, "The server does not answer: is whyrss serve still running?");
  }
  const text = await r.text();
  if (!r.ok) {
    let why = text;
    try { why = (JSON.parse(text) as { error: string }).error; } catch { /* not JSON: as it is */ }
    throw new ApiError(r.status, why);
  }
  return text;
}
export const getText = (path: string): Promise<string> => ask(path, {});

export async function profiles(): Promise<Shelved[]> {
  return saved ? [] : (await get<{ profiles: Shelved[] }>("profiles")).profiles;
}
/** Sends a profile in any format that pprof knows; the server keeps it in memory. */
export async function sendProfile(data: Blob, name: string): Promise<Shelved> {
  if (data.size > 64 << 20) throw new ApiError(413, `${name}: a profile may be up to 64 MiB`);
  return JSON.parse(await ask(`profiles?name=${encodeURIComponent(name.slice(0, 200))}`, { method: "POST", body: data, headers: { "Content-Type": "application/octet-stream" } })) as Shelved;
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  if (saved) {
    const [bare, query] = path.split("?") as [string, string | undefined], q = new URLSearchParams(query ?? "");
    q.delete("max_age");
    const found = saved.answers[`${bare}?${q.toString()}`] ?? saved.answers[bare];
    if (found === undefined) throw new ApiError(404, "This is not part of the saved report.");
    return found as T;
  }
  return JSON.parse(await ask(path, { signal: signal ?? null, headers: { Accept: "application/json" } })) as T;
}

let metaOnce: Promise<Meta> | null = null;
export function meta(): Promise<Meta> {
  return (metaOnce ??= get<Meta>("meta"));
}

export interface Sample { t: number; rss: number; profile: number; by: Record<string, number> }

type Listener = (l: Ledger) => void;

/** What one target tells of itself, as long as somebody listens. */
export class Live {
  latest: Ledger | null = null;
  history: Sample[] = [];
  paused = false;
  gone: string | null = null;
  private source: EventSource | null = null;
  private readonly listeners = new Set<Listener>();
  private readonly states = new Set<() => void>();
  constructor(readonly target: string) {}

  async start(): Promise<void> {
    const l = await get<Ledger>(`${this.target}/ledger?max_age=3000`);
    this.take(l);
    if (!reportOf && l.target.kind === "process") this.open();
  }
  stop(): void {
    this.source?.close();
    this.source = null;
  }
  listen(fn: Listener): () => void {
    this.listeners.add(fn);
    if (this.latest) fn(this.latest);
    return () => this.listeners.delete(fn);
  }
  onstate(fn: () => void): void { this.states.add(fn); }
  pause(on: boolean): void {
    this.paused = on;
    if (on) this.stop();
    else if (!this.gone && !reportOf) this.open();
    this.states.forEach((f) => f());
  }
  private open(): void {
    this.stop();
    if (this.paused) return;
    const e = (this.source = new EventSource(`/api/1/${this.target}/events`));
    e.addEventListener("ledger", (m) => this.take(JSON.parse((m as MessageEvent<string>).data) as Ledger));
    e.addEventListener("gone", (m) => {
      this.gone = JSON.parse((m as MessageEvent<string>).data) as string;
      this.stop();
      this.states.forEach((f) => f());
    });
  }
  private take(l: Ledger): void {
    if (this.latest && l.read.at === this.latest.read.at) return;
    this.latest = l;
    const by: Record<string, number> = {};
    for (const b of l.bridge) by[b.id] = b.delta ?? 0;
    this.history.push({ t: Date.parse(l.read.at) / 1000, rss: l.os["rss"] ?? 0, profile: l.profile.inuse_space, by });
    if (this.history.length > 1200) this.history.splice(0, this.history.length - 1200);
    this.listeners.forEach((f) => f(l));
    this.states.forEach((f) => f());
  }
}
