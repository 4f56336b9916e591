// Amounts as the command line words them.
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(n: number | null | undefined): string {
  if (n === null || n === undefined || !Number.isFinite(n)) return "unknown";
  const sign = n < 0 ? "−" : "";
  let v = Math.abs(n), u = 0;
  while (v >= 1024 && u < UNITS.length - 1) { v /= 1024; u++; }
  return sign + (u === 0 ? String(Math.round(v)) : v.toFixed(1)) + " " + UNITS[u]!;
}

export function delta(n: number): string {
  return n > 0 ? "+" + bytes(n) : bytes(n);
}

export function mib(n: number): string {
  return (n / 1048576).toFixed(1);
}

export function count(n: number | null | undefined): string {
  return n === null || n === undefined ? "unknown" : Math.round(n).toLocaleString("en-US");
}

export function percent(share: number): string {
  const p = Math.abs(share * 100);
  return (share < 0 && p >= 0.05 ? "−" : "") + (p === 0 ? "0" : p < 0.05 ? "<0.1" : p < 9.95 ? p.toFixed(1) : p.toFixed(0)) + " %";
}

export function duration(ns: number | null | undefined): string {
  if (ns === null || ns === undefined || ns < 0) return "unknown";
  if (ns < 1e3) return `${Math.round(ns)} ns`;
  if (ns < 1e6) return `${Math.round(ns / 1e3)} µs`;
  if (ns < 1e9) return `${Math.round(ns / 1e6)} ms`;
  const s = ns / 1e9;
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} d`;
}

/** A value of a profile in its own unit. */
export function amount(n: number, unit: string): string {
  if (unit === "bytes") return bytes(n);
  if (unit === "nanoseconds") return duration(Math.abs(n));
  return count(n);
}

export function base(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
