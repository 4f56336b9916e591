"""`whyrss memstats` against runtime.MemStats and runtime/metrics of the same quiet process, on each release."""
import time

import pytest
from conftest import LAST, view, whyrss
from demos import Demo, build

# What the truth command itself changes: its own few allocations, the time that passes.
MOVES = {"PauseNs", "PauseEnd", "BySize"}
SLACK = {"Mallocs": 400, "Frees": 400, "HeapObjects": 400, "GCCPUFraction": 0.05, "Lookups": 0}
BYTES_SLACK = 96 << 10
# persistentalloc takes 256 KiB at a time, and answering (a profile, a new kind of metric) can need the next one.
CHUNK_SLACK = {"OtherSys": 768 << 10, "Sys": 1 << 20, "/memory/classes/other:bytes": 768 << 10, "/memory/classes/total:bytes": 1 << 20}


def cases():
    for go in LAST:
        for name in ("nothing", "fragmentation", "leakedgoroutines"):
            short = name == "nothing" or go == "local"
            yield pytest.param(name, go, id=f"{name}-{go}", marks=() if short else pytest.mark.full)


# The scavenger goes on meanwhile: the program's own number lies between two answers.
SCAVENGED = {"HeapReleased", "/memory/classes/heap/released:bytes", "/memory/classes/heap/free:bytes"}


def between(key, g, w, later):
    return key in SCAVENGED and min(g, later[key]) - BYTES_SLACK <= w <= max(g, later[key]) + BYTES_SLACK


def check_fields(got, want, later):
    """Every field of MemStats in an answer, and in a later one, against what the program said in between; returns how many."""
    assert got["schema"] == "whyrss.memstats/1"
    assert set(want) <= set(got), set(want) - set(got)
    wrong = {}
    for key, w in want.items():
        g = got[key]
        if key in MOVES:
            continue
        if isinstance(w, bool):
            ok = g is w
        elif key in SLACK:
            ok = abs(g - w) <= SLACK[key]
        else:
            ok = abs(g - w) <= max(0.01 * abs(w), CHUNK_SLACK.get(key, BYTES_SLACK if w > 4096 else 0)) or between(key, g, w, later)
        if not ok:
            wrong[key] = (g, w)
    assert not wrong
    n = want["NumGC"]
    assert [got["PauseNs"][(i + 255) % 256] for i in range(1, min(n, 256) + 1)] == \
        [want["PauseNs"][(i + 255) % 256] for i in range(1, min(n, 256) + 1)]
    assert got["PauseEnd"] == want["PauseEnd"]
    assert [b["Size"] for b in got["BySize"]] == [b["Size"] for b in want["BySize"]]
    for g, w in zip(got["BySize"], want["BySize"]):
        assert abs(g["Mallocs"] - w["Mallocs"]) <= max(100, 0.01 * w["Mallocs"]), (g, w)
    return len(want)


# Not read.
UNKNOWN = {f"/gc/{a}s/{b}:{a}s" for a in ("cleanup", "finalizer") for b in ("executed", "queued")}


def flushed(stats):
    """1.18 counts all slots of a span as allocated when a P caches it, until ReadMemStats, with which the truth begins, puts
    that right. The metrics as they are then; what is counted early has to be the same in all of them."""
    got = dict(stats["metrics"])
    slots = got["/gc/heap/objects:objects"] - stats["HeapObjects"]
    size = got["/memory/classes/heap/objects:bytes"] - stats["HeapAlloc"]
    assert slots >= 0 and size >= 0
    assert sum(got["/gc/heap/allocs-by-size:bytes"]["counts"]) == got["/gc/heap/allocs:objects"]
    assert got["/gc/heap/allocs:bytes"] - stats["TotalAlloc"] == size
    assert stats["HeapInuse"] - stats["HeapAlloc"] - got["/memory/classes/heap/unused:bytes"] == size
    for key, by in (("/gc/heap/objects:objects", -slots), ("/gc/heap/allocs:objects", -slots), ("/gc/heap/allocs:bytes", -size),
                    ("/memory/classes/heap/objects:bytes", -size), ("/memory/classes/heap/unused:bytes", size)):
        got[key] += by
    return got


def check_metrics(stats, want, later):
    """The metrics of a memstats answer, and of a later one, against the program's own; returns how many."""
    got, skip = stats["metrics"], set()
    if "/gc/limiter/last-enabled:gc-cycle" not in want:    # 1.18
        got, skip = flushed(stats), {"/gc/heap/allocs-by-size:bytes"}
    wrong, known = {}, 0
    for key, w in want.items():
        if key.startswith("/godebug/") or key in UNKNOWN or key in skip:
            continue
        g = got.get(key)
        known += 1
        if g is None:
            wrong[key] = None
        elif isinstance(w, dict):
            if g["buckets"] != w["buckets"] or len(g["counts"]) != len(w["counts"]):
                wrong[key] = (g["buckets"], w["buckets"])
            elif abs(sum(g["counts"]) - sum(w["counts"])) > max(500, 0.01 * sum(w["counts"])):
                wrong[key] = (sum(g["counts"]), sum(w["counts"]))
        else:
            slack = 0.1 if "/cpu/" in key else 400 if ":objects" in key else 20 if ":bytes" not in key else BYTES_SLACK
            if abs(g - w) > max(0.01 * abs(w), CHUNK_SLACK.get(key, slack)) and not between(key, g, w, later["metrics"]):
                wrong[key] = (g, w)
    assert not wrong
    return known


@pytest.mark.parametrize("name,go", list(cases()))
def test_memstats(name, go):
    with Demo(build(name, go)) as d:
        time.sleep(0.2)
        got = view("memstats", d.pid)
        truth = d.truth()
        later = view("memstats", d.pid)
    check_fields(got, truth["memstats"], later)


@pytest.mark.parametrize("go", [pytest.param(g, marks=() if g in ("local", "go1.21.13") else pytest.mark.full) for g in LAST])
def test_metrics(go):
    with Demo(build("fragmentation", go)) as d:
        time.sleep(0.2)
        got = view("memstats", d.pid)
        want = d.truth()["metrics"]
        later = view("memstats", d.pid)
    assert check_metrics(got, want, later) >= (35 if "/cpu/classes/total:cpu-seconds" in want else 28)


def test_text_has_every_field():
    with Demo(build("nothing")) as d:
        _, text, _ = whyrss("memstats", d.pid)
    for key in ("HeapAlloc", "HeapIdle", "HeapReleased", "NextGC", "GCCPUFraction", "StackInuse", "BuckHashSys"):
        assert key in text
