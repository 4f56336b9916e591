// Bundles src/ into dist/, which is committed: the C build embeds it and needs no node.
import { build } from "esbuild";
import { copyFile, mkdir } from "node:fs/promises";

await mkdir("dist", { recursive: true });
await build({
  entryPoints: { app: "src/main.ts" },
  outdir: process.argv[2] ?? "dist",
  bundle: true,
  minify: true,
  format: "iife",
  target: ["chrome100", "firefox100", "safari15"],
  legalComments: "inline",
  charset: "utf8",
});
await copyFile("src/index.html", `${process.argv[2] ?? "dist"}/index.html`);
