"""Every layout that whyrss knows, on a running program of a release that has it, with and without symbols: the ledger, MemStats,
profiles and goroutines against what that program says of itself. The full form writes docs/releases.md from what it found."""
import collections
import hashlib
import json
import pathlib
import re
import time

import pytest
import test_ledger
import test_memstats
import test_profile
from conftest import LAST, ROOT, WHYRSS, ledger, lines, view
from demos import Demo, build, go_version, own_caches

COLUMNS = ("ledger", "memstats", "profile", "goroutines")
FORMS = {"symbols": (), "stripped": ("-s -w",)}
RESULTS = ROOT / "build/releases.json"
DOC = ROOT / "docs/releases.md"

# `first` … `last`: patch releases with one layout; `go`: the one that is run.
Row = collections.namedtuple("Row", "name go experiment ldflags recorded minor")


def served():
    """The runs of releases in the records: (minor, first, last, experiment, record)."""
    text = (ROOT / "src/goruntime/layouts/records.inc").read_text()
    return [(int(m), int(a), int(b), x, int(k)) for m, a, b, x, k in re.findall(r'\{(\d+), (\d+), (\d+), "(\w*)", (\d+)\}', text)]


def called(minor, patch):
    """The first release of a series had no patch number before 1.21."""
    return f"go1.{minor}" if patch == 0 and minor < 21 else f"go1.{minor}.{patch}"


def rows():
    groups = {}
    for minor, first, last, experiment, record in served():
        groups.setdefault((minor, experiment, record), []).extend(range(first, last + 1))
    kept = [go_version(g) for g in LAST]
    out = []
    for (minor, experiment, _), patches in sorted(groups.items(), key=lambda x: (x[0][0], x[1][0], x[0][1])):
        names = [called(minor, p) for p in patches]
        go = next((n for n in names if n in kept), names[-1])
        name = (names[0] if len(names) == 1 else f"{names[0]} – {names[-1][2:]}") + (f", {experiment}" if experiment else "")
        out.append(Row(name, go, experiment, (), True, minor))
    # What is not out yet: the newest release under a name that nothing is recorded for.
    out.append(Row("unknown (go1.99.1)", go_version(LAST[-1]), "", ("-X=runtime.buildVersion=go1.99.1",), False, 99))
    return out


ROWS = rows()


def binaries(row):
    """The program of a row in all forms. A toolchain that no other test wants does not stay."""
    def made(env):
        out = {}
        for form, words in FORMS.items():
            flags = " ".join((*words, *row.ldflags))
            out[form] = build("profiles", row.go, flags=[f"-ldflags={flags}"] if flags else (), experiment=row.experiment or None, env=env)
        return out

    if row.go in [go_version(g) for g in LAST]:
        return made(None)
    with own_caches() as env:
        return made(env)


@pytest.fixture(scope="module")
def taken(tmp_path_factory):
    """row, form → what we take of its processes and what they say themselves, each once."""
    known = {}

    def binary(row, form):
        if row not in known:
            known[row] = binaries(row)
        return known[row][form]

    def profiles(row, form):
        key = "profiles", row, form
        if key not in known:
            known[key] = test_profile.take_all(binary(row, form), tmp_path_factory.mktemp("inside"))
        return known[key]

    def numbers(row, form):
        key = "numbers", row, form
        if key not in known:
            with Demo(binary(row, form)) as d:
                time.sleep(0.2)
                stats, before = view("memstats", d.pid), ledger(d.pid)
                truth = d.truth()
                known[key] = d, stats, before, truth, ledger(d.pid), view("memstats", d.pid)
        return known[key]

    return {"profile": profiles, "goroutines": profiles, "ledger": numbers, "memstats": numbers}


def check_ledger(row, form, got):
    d, _, before, truth, after, _ = got
    test_ledger.check_inside(d, before, truth, after)
    target = before["target"]
    assert target["stripped"] == (form == "stripped")
    want = "recorded for " if row.recorded else "DWARF" if form == "symbols" else "nearest record, "
    assert target["layout"].startswith(want), target
    notes = " ".join(before["notes"])
    if row.recorded:
        assert target["go"].startswith(row.go) and "no recorded layout" not in notes
    else:
        assert target["go"].startswith("go1.99.1") and "go1.99.1 has no recorded layout" in notes
    if want == "nearest record, ":   # it says how sure it is
        hold, of = re.search(r"the invariants of (\d+) of (\d+) of the runtime's variables hold", notes).groups()
        assert int(hold) == int(of) > 35
    return f"{lines(before)['unexplained']['resident']} B"


def check_memstats(row, form, got):
    _, stats, _, truth, _, later = got
    fields = test_memstats.check_fields(stats, truth["memstats"], later)
    return f"{fields} + {test_memstats.check_metrics(stats, truth['metrics'], later)}"


def check_profile(row, form, got):
    ours, theirs = got
    for kind in ("heap", "allocs"):
        test_profile.check_heap_proto(ours, theirs, kind, row.minor)
    test_profile.check_heap_text(ours, theirs)
    for kind in ("block", "mutex"):
        test_profile.check_contention(ours, theirs, kind)
    return f"{len(test_profile.rows(ours['heap', 0]))}"


def check_goroutines(row, form, got):
    ours, theirs = got
    test_profile.check_goroutines(ours, theirs, row.minor)
    return f"{test_profile.totals(ours['goroutine', 0])['goroutine']}"


CHECK = {"ledger": check_ledger, "memstats": check_memstats, "profile": check_profile, "goroutines": check_goroutines}


def cases():
    for row in ROWS:
        for form in FORMS:
            for column in COLUMNS:
                short = row.go == "go1.20.14" or not row.recorded
                yield pytest.param(row, form, column, id=f"{row.name}-{form}-{column}".replace(" ", ""), marks=() if short else pytest.mark.full)


class Results:
    """Cells of the table, of one build of whyrss: kept in a file, so that a part can be run again."""

    def __init__(self):
        self.of = hashlib.sha256(pathlib.Path(WHYRSS).read_bytes()).hexdigest()
        known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        self.cells = known.get("cells", {}) if known.get("of") == self.of else {}

    def put(self, row, form, column, text):
        self.cells[f"{row.name}|{form}|{column}"] = text
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps({"of": self.of, "cells": self.cells}, indent=1, ensure_ascii=False))

    def get(self, row, form, column):
        return self.cells.get(f"{row.name}|{form}|{column}")


@pytest.fixture(scope="module")
def results():
    return Results()


@pytest.mark.parametrize("row,form,column", list(cases()))
def test_release(taken, results, row, form, column):
    said = "**failed**"
    try:
        said = CHECK[column](row, form, taken[column](row, form))
    finally:
        results.put(row, form, column, said)


HEAD = """# Releases of Go

Written by `./dev test --full releases`; do not edit. Each row is a layout that whyrss has recorded, or releases without one; each cell a
test on running processes of the release in the second column, built as it comes and with `-ldflags="-s -w"`. A cell's number is what was
compared; **failed** is a test that did not pass.

| column | what has to hold | its number |
| --- | --- | --- |
| ledger | both sums; RSS as the kernel counts it; HeapAlloc, HeapInuse, the live heap, free and released pages and the profile's number as the program's own `runtime.MemStats`, `runtime/metrics` and heap profile have them | bytes of RSS that nothing explains |
| memstats | every field of `runtime.MemStats` and every metric that is known from outside, as the program reads them (1 %, or what its own reading allocates) | fields + metrics |
| profile | heap, allocs, block and mutex as profile.proto and as text, equal to what the program's own `runtime/pprof` writes: every sample, location, line and label | samples of the heap profile |
| goroutines | the goroutine profile, its text and the tracebacks of `debug=2`, word for word; threadcreate | goroutines |

The program is `demo/profiles`. The first releases of 1.18 to 1.20 have no patch number; a patch release within a row that the module proxy
does not serve (1.18.3, 1.20.5 …) has no record of its own and is read by its DWARF, or stripped by the nearest record. So is *unknown*: the newest
release here under a name that nothing is recorded for, with a note that says how much could be checked. What becomes of a stripped release whose
structures did change is `tests/live/test_layouts.py`'s business: 1.27 read with the record of 1.26 has its ledger and MemStats right, and
says that its heap profile is not read.

"""


def document(r):
    out = [HEAD, "| releases | run | " + " | ".join(f"{c}" for f in FORMS for c in (f"{f}: {COLUMNS[0]}", *COLUMNS[1:])) + " |\n",
           "|" + " --- |" * (2 + len(FORMS) * len(COLUMNS)) + "\n"]
    for row in ROWS:
        cells = [r.get(row, form, column) for form in FORMS for column in COLUMNS]
        out.append(f"| {row.name} | {row.go} | " + " | ".join(cells) + " |\n")
    return "".join(out)


def test_the_table_is_whole(results, full):
    """docs/releases.md has each recorded layout of each release, and no cell that is empty or failed."""
    if full and all(results.get(row, form, column) for row in ROWS for form in FORMS for column in COLUMNS):
        DOC.write_text(document(results))
    table = [[c.strip() for c in line.strip("|\n").split("|")] for line in DOC.read_text().splitlines() if re.match(r"\| (go1|unknown)", line)]
    assert [(c[0], c[1]) for c in table] == [(row.name, row.go) for row in ROWS]
    assert {row.minor for row in ROWS} >= set(range(18, 28))
    for cells in table:
        assert len(cells) == 2 + len(FORMS) * len(COLUMNS) and all(re.match(r"\d", c) for c in cells[2:]), cells
