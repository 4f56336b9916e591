// What every page of a target gets and gives.
import type { Ledger, Live, Meta } from "./api";

export interface Context {
  target: string; // "pid/123"
  title: string; // its name
  live: Live;
  meta: Meta;
  params: URLSearchParams;
  /** Changes the address without loading the page again, so that it can be shared. */
  setParams(change: Record<string, string | null>): void;
  /** For screen readers. */
  say(text: string): void;
}

export interface Page {
  el: HTMLElement;
  update?(l: Ledger): void;
  close?(): void;
  downloads?: { title: string; run: () => void | Promise<void> }[];
}
