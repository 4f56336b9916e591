"""The program itself: what it loads at start, since each library costs every command."""
import re
import subprocess

import pytest
from conftest import ROOT, WHYRSS

# ADRs in docs/adr say why each is here; everything else is linked statically or opened when it is first used.
NEEDED = {"libdw.so.1", "libelf.so.1", "libm.so.6", "libc.so.6", "ld-linux-x86-64.so.2"}


def test_needed_libraries():
    out = subprocess.run(["readelf", "-dW", WHYRSS], capture_output=True, text=True, check=True).stdout
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", out))
    if any("asan" in n or "ubsan" in n for n in needed):
        pytest.skip("a sanitized build")
    assert needed and needed <= NEEDED, needed - NEEDED


def test_generated_files_are_what_the_tables_say():
    r = subprocess.run(["sh", ROOT / "tools/gen-docs.sh", WHYRSS, "--check"], capture_output=True, text=True, timeout=120)
    assert r.returncode == 0, r.stderr
