"""The ledger on running demo programs, compared with what each program knows about itself and with smaps."""
import time

import pytest
from conftest import LAST, bridge, ledger, lines
from demos import DEMOS, Demo, build

# pagecache needs a cgroup of its own: test_container.py
QUIET = [n for n in DEMOS if n not in ("churn", "pace", "pagecache")]
SHORT_RELEASES = {"go1.21.13": ("fragmentation", "stale", "mixed"), "go1.24.13": ("leakedgoroutines", "schedule"),
                  "go1.27.4": ("fragmentation", "profiler", "retention", "mixed")}


NEEDS_LIMIT = ("retention", "stale", "limitmisfit")  # debug.SetMemoryLimit came with 1.19


def pairs():
    for name in QUIET:
        for go in LAST:
            if go.startswith("go1.18") and name in NEEDS_LIMIT:
                continue
            short = go == "local" or name in SHORT_RELEASES.get(go, ())
            yield pytest.param(name, go, id=f"{name}-{go}", marks=() if short else pytest.mark.full)


def near(a, b, share=0.01, slack=0):
    return abs(a - b) <= max(share * max(abs(a), abs(b)), slack)


TRUTH = 3 << 20  # what a truth command may allocate and leave behind


def between(line, later, key, want, slack):
    low, high = sorted((line[key]["bytes"], later[key]["bytes"]))
    return low - slack - 0.02 * low <= want <= high + slack + 0.02 * high


def check_inside(d, before, t, after):
    """A ledger before and one after the program said what it knows of itself: every page, Go's numbers, the profile's."""
    ms = t["memstats"]
    line, later = lines(before), lines(after)

    # Every page: what the kernel counts, and nearly nothing of it unexplained.
    rss = before["os"]["rss"]
    assert before["read"]["consistent"], before["notes"]
    assert near(rss, before["os"]["rss_kernel"], 0, 64 << 10) or before["read"]["drift"]
    assert line["unexplained"]["resident"] < max(0.005 * rss, 1), line["unexplained"]

    # Go's own numbers. The truth is taken a moment later and costs the program a little.
    slack = 256 << 10
    in_heap = sum(line[i]["bytes"] for i in ("heap.live", "heap.new", "heap.dead"))
    assert near(in_heap, ms["HeapAlloc"], 0.01, slack)
    in_use = in_heap + line["heap.slots"]["bytes"] + line["heap.tail"]["bytes"]
    assert near(in_use, ms["HeapInuse"], 0.01, slack)
    # The scavenger returns pages while we look, and the truth takes some: it lies between two answers.
    assert between(line, later, "heap.free", ms["HeapIdle"] - ms["HeapReleased"], TRUTH)
    assert between(line, later, "heap.released", ms["HeapReleased"], TRUTH)
    if "/gc/heap/live:bytes" in t["metrics"]:  # since 1.21
        assert near(line["heap.live"]["bytes"], t["metrics"]["/gc/heap/live:bytes"], 0.02, slack)

    # The profile's number.
    if t["profile"] is not None:
        assert before["profile"]["enabled"]
        # The truth's own allocations are in the profile without a GC yet, and when a cycle publishes them (a limit, periodic GC).
        moved = before["profile"]["gc_cycle"] != after["profile"]["gc_cycle"]
        own = TRUTH if moved or t["profile"]["rate"] == 524288 and before["profile"]["gc_cycle"] in (0, ms["NumGC"]) else 0
        # A program that collects while it is quiet publishes anew: its truth is that of one of the two.
        seen = [x["profile"]["inuse_space"] for x in (before, after)]
        assert any(near(x, t["profile"]["inuse_space"], 0.01, max(slack, own)) for x in seen), (seen, t["profile"], own)
    elif d.ready["mem_profile_rate"] == 0:
        assert not before["profile"]["enabled"] and before["profile"]["inuse_space"] == 0


@pytest.mark.parametrize("name,go", list(pairs()))
def test_demo(name, go):
    with Demo(build(name, go)) as d:
        before = ledger(d.pid)
        t = d.truth()
        after = ledger(d.pid)
        line, row = lines(before), bridge(before)
        rss = before["os"]["rss"]
        check_inside(d, before, t, after)

        # What the program says it did.
        for key, want in d.ready["expect"].items():
            if want < 4 << 20 or key not in line and key != "stacks":
                continue
            got = row["stacks"]["delta"] if key == "stacks" else line[key]["bytes" if key.startswith("heap.") else "resident"]
            assert near(got, want, 0.15, 4 << 20), (key, got, want)

        # The cause. A map that never shrinks is part of what the profile shows: where the profile overstates, RSS is
        # below it, and that is said first.
        assert before["causes"], before
        want = [d.ready["cause"]] if d.ready["cause"] else []  # a program made for something else has none to name
        if name == "mapshrink" and rss < before["profile"]["inuse_space"]:
            want = ["not-a-gap", *want]
        assert [c["id"] for c in before["causes"]][:len(want)] == want, [(c["id"], c["bytes"]) for c in before["causes"]]


def test_stacks_are_stackinuse():
    """stack.* that lies in heap spans is StackInuse, to the byte when quiet."""
    for name in ("leakedgoroutines", "fatstacks", "nothing"):
        with Demo(build(name)) as d:
            time.sleep(0.2)
            line = lines(ledger(d.pid))
            ms = d.truth()["memstats"]
            got = sum(line[i]["bytes"] for i in ("stack.used", "stack.spare", "stack.free", "stack.os"))
            assert near(got, ms["StackSys"], 0.02, 512 << 10), (name, got, ms["StackSys"])


def test_reading_leaves_no_trace():
    """The target's RssAnon and RssFile are the same before and after thirty ledgers."""
    def rss(pid):
        with open(f"/proc/{pid}/status", encoding="utf-8") as f:
            return [line.split()[1] for line in f if line.startswith(("RssAnon", "RssFile", "RssShmem"))]

    for name in ("nothing", "mixed", "untouched", "untouchedzero"):
        with Demo(build(name)) as d:
            d.cmd("free")  # else the scavenger may return pages meanwhile
            time.sleep(0.5)
            ledger(d.pid)
            before = rss(d.pid)
            for _ in range(30):
                ledger(d.pid)
            assert rss(d.pid) == before


def test_profile_off():
    with Demo(build("profileoff")) as d:
        got = ledger(d.pid)
        assert got["profile"] == {"enabled": False, "rate": 0, "inuse_space": 0, "inuse_objects": 0, "error": None,
                                  "gc_cycle": got["profile"]["gc_cycle"]}
        assert any("profil" in n for n in got["notes"]) or got["causes"][0]["id"] == "profile-off"


def test_pss():
    with Demo(build("mapfile")) as d:
        assert ledger(d.pid)["os"]["pss"] is None
        os = ledger(d.pid, "--pss")["os"]
        assert 0 < os["pss"] <= os["rss"] + (64 << 10)


def test_freeze_reports_the_pause():
    with Demo(build("mixed")) as d:
        got = ledger(d.pid, "--freeze")
        assert got["read"]["stopped_ms"] > 0
        assert ledger(d.pid)["read"]["stopped_ms"] == 0
        with open(f"/proc/{d.pid}/status", encoding="utf-8") as f:
            assert "TracerPid:\t0" in f.read()


@pytest.mark.parametrize("how", ["huge"])
def test_huge_pages(how):
    with Demo(build("hugepages"), ["-mode", "thp"]) as d:
        got = ledger(d.pid)
        sums = d.truth()["sums"]
        assert near(got["os"]["huge"], sums["AnonHugePages"], 0.01, 2 << 20)
        assert lines(got)["unexplained"]["resident"] < 0.005 * got["os"]["rss"]
