// One colour a kind of memory, told apart by hue and lightness with every common colour blindness
// (after Okabe and Ito), in both themes. Holes, free and unknown memory also differ in lightness.
const LINE: Record<string, string> = {
  "heap.live": "#0072b2", "heap.new": "#56b4e9", "heap.dead": "#9ecae1", "heap.slots": "#e69f00", "heap.tail": "#b37400",
  "heap.free": "#f0e442", "heap.released": "#f7f1a0",
  "stack.used": "#009e73", "stack.spare": "#66c9aa", "stack.free": "#a9e0cd", "stack.os": "#00664a",
  "runtime.mspan": "#8c6bb1", "runtime.mcache": "#9e7fbf", "runtime.gc": "#6a4c93", "runtime.profiler": "#b9a0d3", "runtime.other": "#7d5ba6",
  "binary.text": "#6b7280", "binary.rodata": "#8b93a1", "binary.data": "#555b66", "libs": "#a5abb5",
  "native.used": "#d55e00", "native.free": "#f2a46b",
  "files": "#cc79a7", "shm": "#a3547f", "anon": "#8b5a2b", "kernel": "#404650", "unexplained": "#ff2d55",
};
const BRIDGE: Record<string, string> = {
  profile: "#0072b2", sampling: "#4a90c4", new: "#56b4e9", dead: "#9ecae1", slots: "#e69f00", tail: "#b37400", free: "#f0e442",
  untouched: "#9aa1ad", swapped: "#9aa1ad", released: "#f7f1a0", stacks: "#009e73", runtime: "#8c6bb1", binary: "#6b7280", libs: "#a5abb5",
  native: "#d55e00", files: "#cc79a7", shm: "#a3547f", anon: "#8b5a2b", kernel: "#404650", unexplained: "#ff2d55", rss: "#404650",
};

export function lineColour(id: string): string { return LINE[id] ?? "#888888"; }
export function bridgeColour(id: string): string { return BRIDGE[id] ?? "#888888"; }

/** From pale to dark, for occupancy: readable in grey, too. */
export function ramp(share: number): string {
  const v = Math.max(0, Math.min(1, share));
  const from = [253, 231, 140], mid = [230, 120, 60], to = [70, 20, 90];
  const mix = (a: number[], b: number[], t: number): string => `rgb(${a.map((x, i) => Math.round(x + (b[i]! - x) * t)).join(",")})`;
  return v < 0.5 ? mix(from, mid, v * 2) : mix(mid, to, v * 2 - 1);
}

export function rgb(css: string): [number, number, number] {
  if (css.startsWith("#")) return [1, 3, 5].map((i) => parseInt(css.slice(i, i + 2), 16)) as [number, number, number];
  return css.slice(4, -1).split(",").map(Number) as [number, number, number];
}
