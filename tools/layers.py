#!/usr/bin/env python3
"""Checks the include rule: a layer includes itself and the layers below it, and libraries have one includer."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SRC = ROOT / "src"

ALLOWED = {
    "base": set(),
    "target": {"base"},
    "image": {"base"},
    "pprof": {"base"},
    "snapshot": {"base", "target"},
    "native": {"base", "target", "image", "snapshot"},
    "goruntime": {"base", "target", "image", "snapshot", "native", "pprof"},
    "ledger": {"base", "snapshot"},
    "series": {"base", "target", "snapshot", "goruntime", "ledger"},
    "view": {"base", "snapshot", "ledger", "pprof", "series"},
    "front": {"base", "target", "image", "snapshot", "native", "goruntime", "ledger", "view", "pprof", "series"},
}
# A layer above `target` may use the facts that the snapshot carries, but no call on a process.
HEADERS = {"ledger": {"target/osfacts.h", "target/pages.h"}, "view": {"target/osfacts.h", "target/pages.h"}}
ONLY = {
    r"(elfutils/libdw|dwarf|libelf|gelf)\.h": {"image"},
    r"capstone/.*": {"image"},
    r"(libdeflate|zlib|zstd)\.h": {"pprof", "image", "target", "front"},
    r"(pcre2\.h|isa-l/.*)": {"pprof"},
    r"sqlite3\.h": {"series"},
    r"(microhttpd|curl/.*|ncurses|curses|histedit|editline/.*)\.h": {"front"},
    r"sys/(uio|ptrace|ioctl)\.h": {"target", "front"},
}


def main():
    bad = []
    for path in sorted(SRC.rglob("*.[ch]")):
        layer = path.relative_to(SRC).parts[0]
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            own = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if own:
                of = own.group(1).split("/")[0]
                if of in ALLOWED and of != layer and of not in ALLOWED[layer] and own.group(1) not in HEADERS.get(layer, ()):
                    bad.append(f"{path.relative_to(ROOT)}:{number}: {layer} may not include {own.group(1)}")
            lib = re.match(r"\s*#\s*include\s+<([^>]+)>", line)
            for pattern, layers in ONLY.items():
                if lib and re.fullmatch(pattern, lib.group(1)) and layer not in layers:
                    bad.append(f"{path.relative_to(ROOT)}:{number}: only {sorted(layers)} may include <{lib.group(1)}>")
    print("\n".join(bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
