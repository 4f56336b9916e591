"""`whyrss record` and what a recording says: kills, full disks, ends, foreign files, leaks."""
import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time

import pytest
from conftest import LINES, ROOT, WHYRSS, whyrss
from demos import Demo, build
from test_live import check_cycles, gctrace


def record(pid, path, *args, **kw):
    return subprocess.Popen([WHYRSS, "record", str(pid), "-o", str(path), *map(str, args)], stdin=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True, **kw)


def wait_for(path, query, least, seconds=20):
    """Until the file that is being written answers at least that much."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
                if (db.execute(query).fetchone()[0] or 0) >= least:
                    return
        except sqlite3.Error:
            pass
        time.sleep(0.1)
    raise TimeoutError(query)


def story(path, *args):
    code, out, _ = whyrss(path, "--json", *args)
    return json.loads(out)


def test_recording(tmp_path):
    """Cycles as in gctrace, ledgers whose lines add up, call sites at the peak; read by SQLite's own tools."""
    db = tmp_path / "x.db"
    with open(tmp_path / "trace", "wb") as log, Demo(build("tour"), env={"GODEBUG": "gctrace=1"}, stderr=log) as d:
        r = record(d.pid, db, "--duration", "6s")
        wait_for(db, "SELECT count(*) FROM sample", 5)
        for _ in range(4):
            d.cmd("gc")
            time.sleep(0.3)
        _, err = r.communicate(timeout=30)
        assert r.returncode == 0, err
        memstats = d.truth()["memstats"]
    with sqlite3.connect(db) as q:
        q.row_factory = sqlite3.Row
        meta = dict(q.execute("SELECT key, value FROM meta").fetchall())
        cycles = [dict(row) for row in q.execute("SELECT *, t / 1e9 AS t FROM cycle ORDER BY n")]
        ledgers = q.execute("SELECT * FROM ledger").fetchall()
        sites = q.execute("SELECT * FROM peak_sites").fetchall()
        by_line = q.execute("SELECT t, sum(resident) AS rss FROM rss_by_line GROUP BY t").fetchall()
        whole = [json.loads(row["json"]) for row in ledgers if row["json"]]
    assert meta["schema"] == "whyrss.recording/1" and int(meta["pid"]) == d.pid and meta["ended_why"]
    check_cycles([c | {"late": bool(c["late"]), "forced": None if c["forced"] is None else bool(c["forced"])} for c in cycles],
                 gctrace(tmp_path / "trace"), memstats, 3)
    assert len(ledgers) >= 1 and {row["rss"] for row in by_line} <= {row["rss"] for row in ledgers}
    assert whole and whole[0]["schema"] == "whyrss.ledger/1" and [x["id"] for x in whole[0]["lines"]] == LINES
    assert any("main.fillCache" in s["frames"] for s in sites) and sites[0]["inuse_space"] > 10 << 20
    got = story(db)
    assert got["schema"] == "whyrss.recording/1" and got["peak"]["rss"] >= 200 << 20
    assert got["peak"]["cause"] and got["peak"]["sites"] and len(got["lines"]) == len(LINES)
    assert got["ended"] and got["gc"]["cycles"] >= 3
    _, text, _ = whyrss(db)
    assert "peak" in text and "main.fillCache" in text
    check_moments(db, ledgers)
    check_examples(db)


def check_moments(db, ledgers):
    """x.db@MOMENT is what the rows nearest to it say, and diff the difference of two of them."""
    with sqlite3.connect(db) as q:
        q.row_factory = sqlite3.Row
        samples = q.execute("SELECT * FROM sample ORDER BY t").fetchall()
    when = {"+2s": 2_000_000_000, "start": samples[0]["t"], "end": max(samples[-1]["t"], ledgers[-1]["t"]),
            time.strftime("%H:%M:%S", time.localtime(samples[20]["unix_ns"] // 10**9)): None}
    for word, t in when.items():
        got = json.loads(whyrss(f"{db}@{word}", "--json")[1])
        assert got["schema"] == "whyrss.moment/1"
        if t is None:
            assert abs(got["t"] - samples[20]["t"] / 1e9) <= 1.1
            continue
        at = max((s for s in samples if s["t"] <= max(t, samples[0]["t"])), key=lambda s: s["t"])
        assert got["rss"] == at["rss"] and got["sample"]["heap_live"] == at["heap_live"] and got["sample"]["num_gc"] == at["num_gc"]
        near = min(ledgers, key=lambda row: abs(row["t"] - t))
        assert {x["id"]: x["resident"] for x in got["lines"]} == {i: near[i.replace(".", "_")] for i in LINES}
        assert got["sites"] and got["sites_t"] is not None
    d = json.loads(whyrss("diff", f"{db}@start", f"{db}@end", "--json")[1])
    assert d["schema"] == "whyrss.diff/1" and d["sample"]["num_gc"]["delta"] == samples[-1]["num_gc"] - samples[0]["num_gc"]
    first, last = (min(ledgers, key=lambda row: abs(row["t"] - t)) for t in (when["start"], when["end"]))
    assert sum(x["resident"] for x in d["lines"]) == last["rss"] - first["rss"]
    assert "main.fillCache" in whyrss(f"{db}@peak")[1]
    for words, code in ((("diff", f"{db}@25:00", db), 2), (("diff", f"{db}@+9h", db), 2), (("diff", db, "1"), 2), ((f"{db}@noon",), 2),
                        (("what-if", f"{db}@peak", "--gogc", "50"), 2), (("spans", f"{db}@peak"), 1), ((f"{db}x@peak",), 1)):
        got, out, err = whyrss(*words, check=False)
        assert (got, out) == (code, "") and err.count("\n") == 1, (words, got, out, err)


def check_examples(db):
    """Every SQL example of docs/recording.md answers with rows."""
    queries = re.findall(r"^sqlite3 x\.db '([^']+)'$", (ROOT / "docs/recording.md").read_text(encoding="utf-8"), re.M)
    assert len(queries) >= 6
    with sqlite3.connect(db) as q:
        for sql in queries:
            assert q.execute(sql).fetchall(), sql


SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
static int (*real)(clockid_t, struct timespec *);
static struct timespec began;
/* An hour back after two seconds, two forward after four. */
int clock_gettime(clockid_t c, struct timespec *t)
{
	struct timespec m;
	int r;
	if (!real)
		real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	real(CLOCK_MONOTONIC, &m);
	if (!began.tv_sec)
		began = m;
	r = real(c, t);
	if (c == CLOCK_REALTIME)
		t->tv_sec += m.tv_sec - began.tv_sec >= 4 ? 3600 : m.tv_sec - began.tv_sec >= 2 ? -3600 : 0;
	return r;
}
"""


def test_clock_jumps(tmp_path):
    """The wall clock is set while it records: t goes on evenly, unix_ns is what the clock said, the cycles are all there."""
    (tmp_path / "shim.c").write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", tmp_path / "shim.so", tmp_path / "shim.c", "-ldl"], check=True)
    db = tmp_path / "x.db"
    with Demo(build("churn"), ["-max-seconds", "60"]) as d:
        r = record(d.pid, db, "--duration", "6s", env={**os.environ, "LD_PRELOAD": str(tmp_path / "shim.so"), "ASAN_OPTIONS": "verify_asan_link_order=0"})
        _, err = r.communicate(timeout=40)
        assert r.returncode == 0, err
    with sqlite3.connect(db) as q:
        samples = q.execute("SELECT t, unix_ns FROM sample ORDER BY t").fetchall()
        cycles = q.execute("SELECT n, t, unix_ns FROM cycle ORDER BY n").fetchall()
    assert [c[0] for c in cycles] == list(range(cycles[0][0], cycles[0][0] + len(cycles)))
    assert [c[1] for c in cycles] == sorted(c[1] for c in cycles) and 0 <= cycles[0][1] and cycles[-1][1] < 60e9
    assert samples[-1][0] - samples[0][0] > 4.5e9

    def off(t, unix_ns):
        return round((unix_ns - t - samples[0][1] + samples[0][0]) / 1e9)
    steps = [off(t, u) for t, u in samples]
    assert steps == sorted(steps, key=[0, -3600, 3600].index) and set(steps) == {0, -3600, 3600}
    assert {off(t, u) for _, t, u in cycles} <= {0, -3600, 3600}
    got = story(db)
    assert any("clock was set 2 h forward" in n for n in got["notes"]), got["notes"]
    assert 4.5 < got["seconds"] < 60
    last = time.strftime("%H:%M:%S", time.localtime(samples[-5][1] // 10**9))
    assert json.loads(whyrss(f"{db}@{last}", "--json")[1])["t"] > 3.5


def test_killed(tmp_path):
    db = tmp_path / "x.db"
    with Demo(build("nothing")) as d:
        r = record(d.pid, db)
        wait_for(db, "SELECT count(*) FROM sample", 20)
        r.kill()
        r.wait(10)
        got = story(db)
    assert got["samples"] >= 20 and got["ended"] is None
    assert any("no end" in n for n in got["notes"])


@pytest.mark.parametrize("how", ["target ends", "SIGTERM", "SIGINT"])
def test_ends_in_good_order(tmp_path, how):
    db = tmp_path / "x.db"
    with Demo(build("nothing")) as d:
        r = record(d.pid, db)
        wait_for(db, "SELECT count(*) FROM sample", 10)
        if how != "target ends":
            r.send_signal(getattr(signal, how))
            _, err = r.communicate(timeout=20)
    if how == "target ends":
        _, err = r.communicate(timeout=20)
    assert r.returncode == 0, err
    assert not os.path.exists(f"{db}-wal")
    got = story(db)
    assert got["ended"] and got["samples"] >= 10
    assert ("ended" in got["ended"]) == (how == "target ends")


def test_full_disk(tmp_path):
    """A limit on the size of a file is what a full disk is: what was written stays readable, and it says so."""
    db = tmp_path / "x.db"
    with Demo(build("nothing")) as d:
        r = record(d.pid, db, "--hz", 1000, "--duration", "30s",
                   preexec_fn=lambda: __import__("resource").setrlimit(__import__("resource").RLIMIT_FSIZE, (600_000, 600_000)))
        _, err = r.communicate(timeout=40)
    assert r.returncode == 1 and "what was written is kept" in err, err
    assert "Traceback" not in err and len(err.splitlines()) <= 3
    assert story(db)["samples"] >= 100


def test_size_bound(tmp_path):
    db = tmp_path / "x.db"
    with Demo(build("nothing")) as d:
        r = record(d.pid, db, "--hz", 1000, "--max-size", "1MiB", "--duration", "12s")
        largest = 0
        while r.poll() is None:
            largest = max(largest, sum(os.path.getsize(f) for f in (db, f"{db}-wal") if os.path.exists(f)))
            time.sleep(0.05)
        assert r.returncode == 0
    assert largest <= 1.1 * (1 << 20), largest
    got = story(db)
    assert got["seconds"] > 11 and got["samples"] > 500


def test_no_leak(tmp_path):
    db = tmp_path / "x.db"
    with Demo(build("rawmmap")) as d:
        assert record(d.pid, db, "--duration", "4s").wait(30) == 0
    got = story(db)
    assert got["rss"]["trend"] == "flat" and "no leak" in got["words"][0]


def test_leak_or_plateau(tmp_path):
    """Programs that really leak, in Go and in C, and one that only fills up: the words, the line and the call site."""
    exe = tmp_path / "leaker"
    subprocess.run(["go", "build", "-o", exe, "."], cwd=ROOT / "tests/live/leaker", check=True, env={**os.environ, "GOFLAGS": "-buildvcs=false"})
    with contextlib.ExitStack() as stack:
        procs = {how: stack.enter_context(subprocess.Popen([exe, how], stdout=subprocess.PIPE, text=True)) for how in ("go", "c", "plateau")}
        for p in procs.values():
            stack.callback(p.kill)
            assert p.stdout.readline() == "ready\n"
        recorders = [record(p.pid, tmp_path / f"{how}.db", "--duration", "14s") for how, p in procs.items()]
        for r in recorders:
            _, err = r.communicate(timeout=60)
            assert r.returncode == 0, err
    got = {how: story(tmp_path / f"{how}.db") for how in procs}
    lines = {how: {x["id"]: x for x in g["lines"]} for how, g in got.items()}
    words = {how: " ".join(g["words"]) for how, g in got.items()}
    assert got["go"]["rss"]["trend"] == "rising" and lines["go"]["heap.live"]["trend"] == "rising"
    assert "RSS grows" in words["go"] and "reached in about" in words["go"] and "the Go heap holds more and more" in words["go"], words["go"]
    assert any("main.leakGo" in s["stack"] and s["trend"] == "rising" for s in got["go"]["sites"]) and "main.leakGo" in words["go"]
    assert lines["c"]["native.used"]["trend"] == "rising" and lines["c"]["heap.live"]["trend"] != "rising"
    assert "while the Go heap is flat: a leak in C code" in words["c"], words["c"]
    assert not any("leakGo" in s["stack"] for s in got["c"]["sites"])
    assert got["plateau"]["rss"]["trend"] in ("levelling-off", "flat"), words["plateau"]
    assert "no leak" in words["plateau"]
    # the slope is what the program really did, whatever the machine made of its 8 MiB a second
    for how, line in (("go", "heap.live"), ("c", "native.used")):
        with sqlite3.connect(tmp_path / f"{how}.db") as q:
            first, last = (q.execute(f"SELECT t, {line.replace('.', '_')} FROM ledger ORDER BY t {order} LIMIT 1").fetchone()
                           for order in ("ASC", "DESC"))
        really = (last[1] - first[1]) / (last[0] - first[0]) * 60e9
        assert abs(lines[how][line]["bytes_per_min"] - really) < 0.35 * really, (how, lines[how][line], really)


def test_foreign_files(tmp_path):
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as q:
        q.execute("CREATE TABLE sample (t)")
    code, _, err = whyrss(foreign, check=False)
    assert code == 1 and err.count("\n") == 1 and "another program" in err
    trick = tmp_path / "trick.db"     # views that never end, in the place of tables
    with sqlite3.connect(trick) as q:
        q.execute(f"PRAGMA application_id = {0x57525353}")
        q.execute("CREATE TABLE meta (key, value)")
        for name in ("sample", "cycle", "ledger", "stack", "site"):
            q.execute(f"CREATE VIEW {name} AS WITH RECURSIVE r(t) AS (SELECT 1 UNION ALL SELECT t + 1 FROM r) SELECT t FROM r")
    code, _, err = whyrss(trick, check=False)
    assert code == 1 and err.count("\n") == 1
    wild = tmp_path / "wild.db"       # numbers that no clock and no memory has
    with Demo(build("nothing")) as d:
        assert record(d.pid, wild, "--duration", "2s").wait(30) == 0
    with sqlite3.connect(wild) as q:
        for table, column, value in (("sample", "unix_ns", -2**63), ("ledger", "t", 2**63 - 1), ("ledger", "rss", -5), ("cycle", "t", -2**63),
                                     ("ledger", "heap_live", 2**63 - 1), ("site", "inuse_space", -2**63), ("sample", "heap_live", -1)):
            q.execute(f"UPDATE {table} SET {column} = ?", (value,))
        q.execute("UPDATE stack SET frames = char(27) || '[31m' || id")
        q.execute(f"UPDATE meta SET value = {-2**63} WHERE key = 'began_unix_ns'")
    for words in ((wild,), (f"{wild}@start",), (f"{wild}@peak", "--json"), ("diff", f"{wild}@start", f"{wild}@end"), (f"{wild}@10:00",)):
        code, out, err = whyrss(*words, check=False)
        assert code in (0, 1, 2, 3) and "\x1b" not in out + err, (words, code, err)
    with Demo(build("nothing")) as d:
        code, _, err = whyrss("record", d.pid, "-o", foreign, "--duration", "1s", check=False)
    assert code == 2 and "exists already" in err
    code, _, err = whyrss("live", foreign, check=False)
    assert code == 2 and "running process" in err


def test_truncated(tmp_path):
    db = tmp_path / "x.db"
    with Demo(build("nothing")) as d:
        assert record(d.pid, db, "--hz", 1000, "--duration", "3s").wait(30) == 0
    size = os.path.getsize(db)
    for part in (0, 50, 1000, 5000, size // 2, size - 1000):
        cut = tmp_path / f"cut-{part}.db"
        shutil.copy(db, cut)
        os.truncate(cut, part)
        code, out, err = whyrss(cut, check=False)
        # the last page may be one that no question needs
        assert code in ((1, 3) if part < size - 4096 else (0, 1, 3)) and (code != 1 or err.count("\n") == 1), (part, code, out, err)
        if code == 3:
            assert "damaged" in out
