"""The recorded layouts against the runtime's source; and a Go release that is left out: served without a record, then added."""
import json
import re
import shutil
import subprocess
import sys

import pytest
import test_memstats
from conftest import LAST, ROOT, WHYRSS, lines
from demos import Demo, build

RECORD = """
import importlib.machinery, importlib.util, sys
loader = importlib.machinery.SourceFileLoader('record_layouts', 'tools/record-layouts')
module = importlib.util.module_from_spec(importlib.util.spec_from_loader('record_layouts', loader))
loader.exec_module(module)
layouts = {k: v for k, v in module.read_recorded().items() if k[0] != %d}
for name, text in module.render(layouts, [r[0] for r in module.parse_fields()])[0].items():
    open('src/goruntime/layouts/' + name, 'w').write(text)
"""


@pytest.mark.parametrize("go", [pytest.param(g, marks=() if g in ("go1.20.14", "local") else pytest.mark.full) for g in LAST])
def test_fields_are_those_of_the_source(go):
    """Offset, width and presence of every row of fields.def, by the type checker of that toolchain over its own runtime."""
    r = subprocess.run([sys.executable, str(ROOT / "tools/check-fields"), go], capture_output=True, text=True, timeout=1200)
    assert r.returncode == 0, r.stdout[-4000:] + r.stderr[-2000:]
    checked = re.findall(r"^\S+: (\d+) of (\d+) fields as in the source", r.stdout, re.M)
    assert checked and all(int(n) > 300 and int(of) - int(n) < 5 for n, of in checked), r.stdout


def test_a_wrong_field_is_told(tmp_path):
    """The check can fail: a record with an offset, a width and a field that the source does not have."""
    copy = tmp_path / "tree"
    for d in ("tools", "src/goruntime"):
        shutil.copytree(ROOT / d, copy / d)
    where = copy / "src/goruntime/layouts/go1.26-amd64.inc"
    text, n = re.subn(r"AT\(m_alllink, \d+, 8\)", "AT(m_alllink, 8, 4)", where.read_text())
    assert n
    where.write_text(text)
    r = subprocess.run([sys.executable, str(copy / "tools/check-fields"), "local"], capture_output=True, text=True, timeout=1200)
    assert r.returncode == 1 and re.search(r"m_alllink: runtime.m alllink is 8 bytes at \d+ in the source .*, 4 at 8 in the record", r.stdout), r.stdout


def ask(whyrss, d):
    """The ledger and MemStats of a running demo by a build of whyrss, what the program says itself, and MemStats again."""
    def say(name):
        r = subprocess.run([whyrss, name, str(d.pid), "--json"], capture_output=True, text=True, timeout=60)
        assert r.returncode in (0, 3), r.stderr
        return json.loads(r.stdout)

    return say("ledger"), say("memstats"), d.truth(), say("memstats")


def heap_is_right(got, stats, truth, later):
    line = lines(got)
    test_memstats.check_fields(stats, truth["memstats"], later)
    assert abs(sum(line[f"heap.{i}"]["bytes"] for i in ("live", "new", "dead")) - truth["memstats"]["HeapAlloc"]) < 256 << 10
    assert line["unexplained"]["resident"] < 0.005 * got["os"]["rss"]


@pytest.mark.full
def test_a_release_that_is_added(tmp_path):
    """The newest release is taken out of a copy of the tree: then its programs are read by their DWARF, and stripped by the nearest
    record, which says what it could not read. `tools/record-layouts go1.27.4` and a build, and it is a recorded release."""
    tree, probes = tmp_path / "tree", tmp_path / "probes"
    tree.mkdir()
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    subprocess.run(["tar", "cf", tmp_path / "tree.tar", "-T", "-"], cwd=ROOT, input=files, text=True, check=True)
    subprocess.run(["tar", "xf", tmp_path / "tree.tar", "-C", tree], check=True)
    minor = int(LAST[-1].split(".")[1])
    subprocess.run([sys.executable, "-c", RECORD % minor], cwd=tree, check=True)
    records = tree / "src/goruntime/layouts/records.inc"
    assert f"{{{minor}, " not in records.read_text() and f"{{{minor - 1}, " in records.read_text()

    def made():
        subprocess.run(["./dev", "build", "debug"], cwd=tree, check=True, capture_output=True, timeout=1800)
        return str(tree / "build/debug/whyrss")

    plain, bare = build("profiles", LAST[-1]), build("profiles", LAST[-1], flags=["-ldflags=-s -w"])
    whyrss = made()
    with Demo(plain) as d:
        got, stats, truth, later = ask(whyrss, d)
        heap_is_right(got, stats, truth, later)
        assert got["target"]["layout"] == "DWARF" and any("has no recorded layout" in n for n in got["notes"])
        assert abs(got["profile"]["inuse_space"] / truth["profile"]["inuse_space"] - 1) < 0.01
    with Demo(bare) as d:
        got, stats, truth, later = ask(whyrss, d)
        heap_is_right(got, stats, truth, later)
        assert got["target"]["layout"].startswith("nearest record, ")
        notes = " ".join(got["notes"])
        hold, of = re.search(r"has no recorded layout .* the invariants of (\d+) of (\d+) of", notes).groups()
        assert int(hold) == int(of) > 35
        # 1.27 keeps other records of the profile than 1.26: that is seen, and nothing is made of them.
        assert "the heap profile is not read" in notes and got["profile"]["inuse_space"] == 0

    subprocess.run([sys.executable, "tools/record-layouts", "--probes", probes, LAST[-1]], cwd=tree, check=True, timeout=3600,
                   capture_output=True)
    assert re.search(r'\{%d, %s, %s, "", \d+\}' % (minor, *LAST[-1].split(".")[2:] * 2), records.read_text())
    whyrss = made()
    for binary in (plain, bare):
        with Demo(binary) as d:
            got, stats, truth, later = ask(whyrss, d)
        heap_is_right(got, stats, truth, later)
        assert got["target"]["layout"] == f"recorded for {LAST[-1]}" and not any("no recorded layout" in n for n in got["notes"])
        assert abs(got["profile"]["inuse_space"] / truth["profile"]["inuse_space"] - 1) < 0.01


def test_a_development_version():
    """What `go version` says of a Go tip, and DWARF: read as it is, with a note."""
    word = "devel go1.99-0123abcd Tue Feb 3 10:00:00 2026 +0000"
    binary = build("profiles", flags=[f"-ldflags=-compressdwarf '-X=runtime.buildVersion={word}'"])
    with Demo(binary) as d:
        got, stats, truth, later = ask(WHYRSS, d)
    heap_is_right(got, stats, truth, later)
    assert got["target"]["go"] == word and got["target"]["layout"] == "DWARF"
    assert any("has no recorded layout: read with what its DWARF says" in n for n in got["notes"])
