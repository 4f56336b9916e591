#!/usr/bin/env python3
"""Writes files as C arrays, so that a build needs no tool of the page's. argv: out.c, then the files."""
import pathlib
import sys

TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".svg": "image/svg+xml"}


def main():
    out, files = pathlib.Path(sys.argv[1]), [pathlib.Path(f) for f in sys.argv[2:]]
    text = ['#include "front/web_asset.h"\n']
    for i, f in enumerate(files):
        data = f.read_bytes()
        rows = (",".join(map(str, data[at:at + 64])) for at in range(0, len(data), 64))
        text.append(f"static const unsigned char file_{i}[] = {{\n" + ",\n".join(rows) + "};\n")
    text.append("const struct web_asset WEB_ASSETS[] = {\n")
    for i, f in enumerate(files):
        text.append(f'\t{{"{f.name}", "{TYPES[f.suffix]}", file_{i}, sizeof(file_{i})}},\n')
    text.append("};\nconst unsigned N_WEB_ASSETS = sizeof(WEB_ASSETS) / sizeof(WEB_ASSETS[0]);\n")
    out.write_text("".join(text))


if __name__ == "__main__":
    main()
