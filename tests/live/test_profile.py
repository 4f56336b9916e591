"""`whyrss profile` against what the same program writes of itself through runtime/pprof, on each release."""
import json
import os
import re
import subprocess

import pytest
from conftest import LAST, WHYRSS, ledger, lines, view, whyrss
from demos import Demo, build, go_version
from pprofpb import parse, stack_key, totals
from test_core import gcore, no_large_files_left, stopped  # noqa: F401: a fixture

CASES = [pytest.param(go, marks=() if go in ("go1.18.10", "go1.20.14", "go1.21.13", "local", "go1.27.4") else pytest.mark.full) for go in LAST]


def minor(go):
    return int(go_version(go).split(".")[1])



def take(pid, path, *args):
    """The profile as a file, parsed; text for --debug."""
    whyrss("profile", pid, "-o", path, *args)
    with open(path, "rb") as f:
        data = f.read()
    return data.decode() if "--debug" in args else parse(data)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def rows(p, every=False):
    """All that a profile says, in its order. Samples without numbers are buckets that the writing of it has made."""
    return [(stack_key(s), s["values"], s["labels"]) for s in p["samples"] if every or any(s["values"])]


def heads(p):
    keep = ("types", "default_type", "period", "period_type", "comments", "drop", "keep", "doc_url", "duration_nanos", "mappings")
    return {k: p[k] for k in keep}


@pytest.fixture(scope="module")
def inside(tmp_path_factory):
    """release → a quiet program of that release, what we take of it, and after that what it says itself."""
    known = {}

    def get(go):
        if go not in known:
            folder = tmp_path_factory.mktemp(go)
            known[go] = *take_all(build("profiles", go), folder), folder
        return known[go]

    return get


def take_all(binary, folder):
    """What we take of a new process of the demo `profiles`, and after that what it says itself."""
    with Demo(binary) as d:
        ours = {}
        for kind in KINDS:
            for debug in (0, 1, 2):
                args = ("--debug", str(debug)) if debug else ()
                ours[kind, debug] = take(d.pid, folder / f"{kind}.{debug}.ours", "--kind", kind, *args)
        d.cmd("profiles", folder)
        for kind in ("block", "mutex"):   # again, now that the program has worked out the rate of its counter
            ours[kind, "later"] = take(d.pid, folder / f"{kind}.later", "--kind", kind)
            ours[kind, "later text"] = take(d.pid, folder / f"{kind}.later", "--kind", kind, "--debug", "1")
        ours["threadcreate", "later"] = take(d.pid, folder / "threadcreate.later", "--kind", "threadcreate")
        ours["threadcreate", "later text"] = take(d.pid, folder / "threadcreate.later", "--kind", "threadcreate", "--debug", "1")
    theirs = {(kind, debug): read(folder / f"{kind}.{debug}").decode() if debug else parse(read(folder / f"{kind}.0"))
              for kind in KINDS for debug in (0, 1, 2)}
    return ours, theirs


KINDS = ["heap", "allocs", "block", "mutex", "threadcreate", "goroutine"]


@pytest.mark.parametrize("go", CASES)
@pytest.mark.parametrize("kind", ["heap", "allocs"])
def test_heap_proto(inside, go, kind):
    ours, theirs, _ = inside(go)
    check_heap_proto(ours, theirs, kind, minor(go))


def check_heap_proto(ours, theirs, kind, release):
    got, want = ours[kind, 0], theirs[kind, 0]
    assert heads(got) == heads(want)
    assert rows(got) == rows(want)
    assert len(rows(got)) >= 40 and totals(got)["inuse_space"] > 10 << 20
    names = {line[0] for s in got["samples"] for x in s["stack"] for line in x["lines"]}
    # The runtime's names of generic functions have their type arguments in full since 1.21.
    assert ("main.(*store[go.shape.int,go.shape.[3]string]).put" if release >= 21 else "main.(*store[...]).put") in names
    assert any(len(x["lines"]) > 1 for s in got["samples"] for x in s["stack"])
    assert any(m["has"][0] for m in got["mappings"])


def records(text):
    """The stacks of a heap text: numbers and pcs → lines; without those that hold nothing."""
    out = {}
    for part in re.split(r"\n\n(?=\d)|\n(?=\d+: )", text.split("\n# runtime.MemStats")[0]):
        m = re.match(r"(\d+: \d+ \[\d+: \d+\]) @(.*)\n((?:.|\n)*)", part)
        if m and m[1] != "0: 0 [0: 0]":
            out[m[1], m[2]] = m[3].rstrip("\n")
    return out


@pytest.mark.parametrize("go", CASES)
def test_heap_text(inside, go):
    ours, theirs, _ = inside(go)
    check_heap_text(ours, theirs)


def check_heap_text(ours, theirs):
    for kind in ("heap", "allocs"):
        got, want = ours[kind, 1], theirs[kind, 1]
        assert got.splitlines()[0] == want.splitlines()[0]
        a, b = records(got), records(want)
        assert a == b and len(a) >= 40
        # In the runtime's order: by bytes in use, equal ones aside.
        order = [int(k[0].split(":")[1].split()[0]) for k in a]
        assert order == sorted(order, reverse=order[0] > order[-1])
        assert (order[0] > order[-1]) == (re.search(r"^\d+: (\d+)", want, re.M)[1] != "0")
        # The block at the end: the same rows, the same form of values, and what a GC made is equal.
        one, two = ([line.split(" = ") for line in text.split("# runtime.MemStats\n")[1].splitlines()] for text in (got, want))
        assert [r[0] for r in one] == [r[0] for r in two]
        same = {"# Lookups", "# NextGC", "# LastGC", "# PauseNs", "# PauseEnd", "# NumGC", "# NumForcedGC", "# GCCPUFraction", "# DebugGC"}
        assert [r for r in one if r[0] in same] == [r for r in two if r[0] in same]
        assert [re.sub(r"\d+", "N", r[1]) for r in one] == [re.sub(r"\d+", "N", r[1]) for r in two]


def frequency(text):
    return int(re.search(r"^cycles/second=(\d+)$", text, re.M)[1])


def contended(p):
    """Locks of the runtime itself are contended at any time, also by whoever writes a profile."""
    return [r for r in rows(p, every=True) if r[0] and not r[0][0][2][0][0].startswith("runtime.")]


@pytest.mark.parametrize("go", CASES)
@pytest.mark.parametrize("kind", ["block", "mutex"])
def test_contention(inside, go, kind):
    ours, theirs, _ = inside(go)
    check_contention(ours, theirs, kind)


def check_contention(ours, theirs, kind):
    want = theirs[kind, 0]
    b = contended(want)
    assert b   # of the mutexes, chance decides which are contended
    # Delays are of the counter's rate, which each reader measures until the program itself has needed it: from then on equal.
    for got in (ours[kind, 0], ours[kind, "later"]):
        a = contended(got)
        assert heads(got) == heads(want) and [r[0] for r in a] == [r[0] for r in b] and [r[1][0] for r in a] == [r[1][0] for r in b]
    assert contended(ours[kind, "later"]) == b
    first = re.compile(r"^(---.*\n(sampling.*\n)?)?cycles.*\n(sampling.*\n)?")

    def stacks(text):
        return [first.sub("", s) for s in text.split("\n\n") if "sync." in s]

    two = theirs[kind, 1]
    for one in (ours[kind, 1], ours[kind, "later text"]):
        assert stacks(one) == stacks(two)
        assert one.splitlines()[0] == two.splitlines()[0] == ("--- contention:" if kind == "block" else "--- mutex:")
    assert frequency(ours[kind, "later text"]) == frequency(two)


@pytest.mark.parametrize("go", ["go1.20.14", "local"])
def test_rate_of_the_counter(go, tmp_path):
    """Measured from outside, before the program needs it, and then by the program. Either may lose the processor between
    reading the counter and the clock, so one of a few new processes has to agree; a wrong way of measuring never does."""
    seen = []
    for _ in range(6):
        with Demo(build("profiles", go)) as d:
            ours = frequency(take(d.pid, tmp_path / "ours", "--kind", "mutex", "--debug", "1"))
            d.cmd("profiles", tmp_path)
        seen.append(ours / frequency(read(tmp_path / "mutex.1").decode()))
        if abs(seen[-1] - 1) < 2e-3:
            return
    pytest.fail(f"the rate from outside and from inside: {seen}")


def others(p):
    """Goroutines but the main one: that waits for a command when we look, and writes profiles when the program does."""
    return sorted(((stack_key(s), s["values"], s["labels"]) for s in p["samples"]
                   if not any(line[0].endswith("truth.Serve") for x in s["stack"] for line in x["lines"])), key=repr)


def tracebacks(text):
    return [part.rstrip("\n") for part in text.split("\n\n") if "truth.Serve" not in part]


@pytest.mark.parametrize("go", CASES)
def test_goroutines(inside, go):
    ours, theirs, _ = inside(go)
    check_goroutines(ours, theirs, minor(go))


def check_goroutines(ours, theirs, release):
    got, want = ours["goroutine", 0], theirs["goroutine", 0]
    assert heads(got) == heads(want)
    assert totals(got) == totals(want) and totals(got)["goroutine"] > 90
    assert others(got) == others(want) and len(others(got)) >= 15
    assert {lab[:2] for s in got["samples"] for lab in s["labels"]} >= {("worker", "1"), ("queue", 'mail "x"\n'), ("job", "0")}
    one, two = ours["goroutine", 1], theirs["goroutine", 1]
    assert one.splitlines()[0] == two.splitlines()[0] and tracebacks(one) == tracebacks(two)
    # Word by word, arguments and frames that are left out included.
    one, two = ours["goroutine", 2], theirs["goroutine", 2]
    assert tracebacks(one) == tracebacks(two) and len(tracebacks(one)) > 90
    assert "locked to thread" in one and re.search(r"main.waitIn\(0x[0-9a-f]+", one)
    # Of 200 calls, since 1.21 the outer 50 and the inner 50 are printed, and before it the inner 100.
    deep = max(tracebacks(one), key=lambda part: part.count("main.deep("))
    assert ("frames elided..." in deep) == (release >= 21) and 90 <= deep.count("main.deep(") <= 100
    # The runtime may start a thread at any time: the program's own list is one of ours, before it or after it.
    want = theirs["threadcreate", 0]
    lists = [ours["threadcreate", k] for k in (0, "later")]
    assert all(heads(got) == heads(want) for got in lists) and rows(want) in [rows(got) for got in lists]
    assert totals(want)["threadcreate"] >= 4
    assert theirs["threadcreate", 1] in (ours["threadcreate", 1], ours["threadcreate", "later text"])


RUNNING = "goroutine running on other thread; stack unavailable"


def test_running_goroutines(tmp_path):
    with Demo(build("profiles"), ["-spin", "2"], nice=10) as d:
        p = take(d.pid, tmp_path / "p", "--kind", "goroutine")
        one = take(d.pid, tmp_path / "1", "--kind", "goroutine", "--debug", "1")
        two = take(d.pid, tmp_path / "2", "--kind", "goroutine", "--debug", "2")
        frozen = take(d.pid, tmp_path / "f", "--kind", "goroutine", "--freeze")
        text = take(d.pid, tmp_path / "f2", "--kind", "goroutine", "--debug", "2", "--freeze")
    # On a busy machine a goroutine that only computes may also wait for a thread: then it is preempted and has a stack.
    spinning = [s for s in p["samples"] if any(line[0] == "main.main.func1" for x in s["stack"] for line in x["lines"])]
    assert sum(s["values"][0] for s in spinning) == 2
    for s in spinning:
        names = [line[0] for x in s["stack"] for line in x["lines"]]
        assert names == [RUNNING, "main.main.func1"] or RUNNING not in names
    assert "main.main.func1" in one and ("main.main.func1" in two or "created by main.main in goroutine 1" in two)
    assert (RUNNING in two) == any(part.startswith("goroutine ") and "\t" + RUNNING in part for part in two.split("\n\n"))
    assert totals(frozen) == totals(p)
    names = [[line[0] for x in s["stack"] for line in x["lines"]] for s in frozen["samples"]]
    assert not any(RUNNING in n for n in names) and any("main.main.func1" in n for n in names)
    assert RUNNING not in text and "main.main.func1()" in text


def test_goroutines_that_come_and_go(tmp_path):
    """Under load each stack is one that was there: it ends in the function that started the goroutine."""
    with Demo(build("churn"), ["-max-seconds", "30", "-cores", "2"], nice=10) as d:
        for _ in range(15):
            p = take(d.pid, tmp_path / "p", "--kind", "goroutine")
            assert 4 <= totals(p)["goroutine"] <= 6
            for s in p["samples"]:
                last = s["stack"][-1]["lines"][-1][0]
                assert last.startswith("main.") or last == "runtime.main", [x["lines"] for x in s["stack"]]


def test_go_tool_pprof_reads_it(inside):
    _, _, folder = inside("local")
    for kind, index in (("heap", "inuse_space"), ("allocs", "alloc_space"), ("block", "delay")):
        def top(name):
            r = subprocess.run(["go", "tool", "pprof", "-top", "-lines", f"-sample_index={index}", str(folder / name)],
                               capture_output=True, text=True, check=True)
            return [line for line in r.stdout.splitlines() if not line.startswith(("Time:", "File:", "Build ID:"))]
        ours, theirs = top(f"{kind}.0.ours"), top(f"{kind}.0")
        assert len(ours) > 5 and (kind == "block" or ours == theirs)


def test_now_counts_what_is_allocated():
    with Demo(build("stale")) as d:
        published, now = (json.loads(whyrss("profile", d.pid, "-o", "/dev/null", "--as", w, "--json")[1]) for w in ("published", "now"))
        said = {p["as"]: {t["type"]: t["total"] for t in p["types"]} for p in (published, now)}
        assert said["published"]["inuse_space"] < 40 << 20      # nothing of it is published: GC is off
        # Some 300 samples, so 6 % are one standard error.
        assert abs(said["now"]["inuse_space"] / view("memstats", d.pid)["HeapAlloc"] - 1) < 0.3
        d.cmd("gc2")
        later = json.loads(whyrss("profile", d.pid, "-o", "/dev/null", "--as", "published", "--json")[1])
        assert abs({t["type"]: t["total"] for t in later["types"]}["inuse_space"] / said["now"]["inuse_space"] - 1) < 0.1


def test_errors_are_labels(tmp_path):
    with Demo(build("profiles")) as d:
        plain, errors = take(d.pid, tmp_path / "a"), take(d.pid, tmp_path / "b", "--errors")
    assert [r[:2] for r in rows(plain)] == [r[:2] for r in rows(errors)]
    for s in errors["samples"]:
        of = {k: n for k, _, n, _ in s["labels"]}
        n, space = s["values"][2:]
        assert (of["inuse_space_error"] > 0) == (n > 0 and space / n < 400_000)
        assert of["inuse_space_error"] <= space or n <= 1


def test_under_load_no_bucket_is_torn(tmp_path):
    """A program that allocates and collects as fast as it can: totals only grow, in use is never more than allocated."""
    with Demo(build("churn"), ["-max-seconds", "40", "-cores", "1"], nice=5) as d:
        last = {}
        for i in range(40):
            kind = ("published", "now")[i % 2]
            p = take(d.pid, tmp_path / "p", "--as", kind)
            size = {}
            for s in p["samples"]:
                allocs, space, inuse, inuse_space = s["values"][:4]
                assert 0 <= inuse <= allocs and 0 <= inuse_space <= space, s["values"]
                unit = dict((k, n) for k, _, n, _ in s["labels"]).get("bytes")
                key = stack_key(s), unit
                size[key] = size.get(key, 0) + space
            total = totals(p)
            if kind in last:
                was_total, was = last[kind]
                assert total["alloc_space"] >= was_total["alloc_space"] and total["alloc_objects"] >= was_total["alloc_objects"]
                for key, v in was.items():
                    assert size.get(key, 0) >= v or key[1] is None, (key, v, size.get(key))
            last[kind] = total, size


def taken(pid, path, *args):
    """The profile and the tool's own summary of it."""
    _, out, _ = whyrss("profile", pid, "-o", path, "--json", *args)
    with open(path, "rb") as f:
        return parse(f.read()), json.loads(out)


def by_frame(p, index=0):
    """Bytes under each function, wherever in a stack it is."""
    out = {}
    for s in p["samples"]:
        for name in {line[0] for x in s["stack"] for line in x["lines"]}:
            out[name] = out.get(name, 0) + s["values"][index]
    return out


# A program, a frame of its memory_space, and the bytes that it has to have by the truth of the demo.
SPACES = [
    ("tour", "holes in spans in use", 135 << 20),
    ("leakedgoroutines", "main.handleRequest", 60000 * 2048),
    ("fatstacks", "goroutine stacks", 600 * 256 << 10),
    ("rawmmap", "other anonymous mappings", 180 << 20),
    ("cleak", "C heap", 150 << 20),
    ("schedule", "allocated since the last GC", 115 << 20),
    ("nothing", "live objects", 100 << 20),
]


@pytest.mark.parametrize("name,frame,want", [pytest.param(*c, marks=() if c[0] in ("tour", "leakedgoroutines") else pytest.mark.full)
                                             for c in SPACES])
def test_space_is_all_of_rss(name, frame, want, tmp_path):
    with Demo(build(name)) as d:
        p, said = taken(d.pid, tmp_path / "p", "--kind", "space")
        after = ledger(d.pid)
    assert p["types"] == [("memory_space", "bytes")]
    assert totals(p)["memory_space"] == said["rss"] and said["types"][0]["total"] == said["rss"]
    # Two moments: the scavenger goes on between them.
    assert abs(said["rss"] - after["os"]["rss"]) < max(1 << 20, 0.02 * said["rss"])
    assert all(s["values"][0] > 0 and s["stack"] for s in p["samples"])
    frames = by_frame(p)
    assert 0.85 < frames[frame] / want < 1.25, (frames[frame], want)
    if said["read"]["consistent"]:
        line = lines(after)
        for title, one in (("live objects", "heap.live"), ("holes in spans in use", "heap.slots"), ("free pages kept", "heap.free")):
            assert abs(frames.get(title, 0) - line[one]["resident"]) < 2 << 20
    assert frames.get("unexplained", 0) == 0


def test_space_over_releases(releases, tmp_path):
    for go in releases:
        with Demo(build("fragmentation", go)) as d:
            p, said = taken(d.pid, tmp_path / "p", "--kind", "space")
            q, _ = taken(d.pid, tmp_path / "q", "--kind", "fragmentation")
            line = lines(ledger(d.pid))
            now, _ = taken(d.pid, tmp_path / "n", "--as", "now")
        assert totals(p)["memory_space"] == said["rss"]
        # Holes: both ways of charging add up to what the ledger knows of them, and name who keeps the spans.
        assert [t for t, _ in q["types"]] == ["sampled_hole_space", "hole_space"] and q["default_type"] == "hole_space"
        sums = totals(q)
        assert sums["sampled_hole_space"] == sums["hole_space"]
        assert abs(sums["hole_space"] - line["heap.slots"]["resident"]) < 1 << 20
        kept = {k: v for k, v in by_frame(q, 1).items() if k.startswith("main.")}
        assert max(kept.values(), default=0) > 0.8 * sums["hole_space"], kept
        # What is allocated now, by what the last GC found of it: every sampled object has its address.
        for s in now["samples"]:
            inuse, parts = s["values"][3], s["values"][4:]
            assert abs(sum(parts) - inuse) <= 3, s["values"]


def test_stack_space(releases, tmp_path):
    for go in releases:
        with Demo(build("profiles", go)) as d:
            p, _ = taken(d.pid, tmp_path / "p", "--kind", "stacks")
            stats = view("memstats", d.pid)
        assert abs(totals(p)["stack_space"] - stats["StackInuse"]) <= 64 << 10
        assert all(s["values"][0] > 0 and s["stack"] for s in p["samples"])
        frames = by_frame(p)
        # main.deep is 20 or 200 calls deep, in 8 goroutines: 480 and more frames of some 32 to 64 bytes.
        assert 530 * 24 < frames["main.deep"] < 1 << 20
        assert frames["(spare: below the stack pointer)"] > 100_000


@pytest.mark.parametrize("args,code,words", [
    (["--kind", "nonsense"], 2, "--kind nonsense"),
    (["--kind", "block", "--as", "now"], 2, "of heap and allocs only"),
    (["--kind", "block", "--errors"], 2, "of heap and allocs only"),
    (["--json"], 2, "-o FILE"),
    (["-o", "/nonexistent/x"], 1, "/nonexistent/x"),
])
def test_refusals(args, code, words):
    with Demo(build("nothing")) as d:
        got, out, err = whyrss("profile", d.pid, *args, check=False)
    assert got == code and words in err and len(err.splitlines()) == 1 and not out


def test_without_a_profile():
    with Demo(build("profileoff")) as d:
        r = subprocess.run([WHYRSS, "profile", str(d.pid)], capture_output=True)
        assert r.returncode == 0 and b"heap profiling is off" in r.stderr
        assert totals(parse(r.stdout))["alloc_space"] < 100_000   # a few buckets from before main


SPACE_KINDS = ["space", "stacks", "fragmentation"]


@pytest.mark.parametrize("go", [pytest.param(g, marks=() if g in ("go1.20.14", "local") else pytest.mark.full) for g in LAST])
def test_of_a_core_and_of_a_capture(go, tmp_path):
    """Every kind and form out of a core and out of a capture, equal to that of the live process: all of it stands still."""
    with Demo(build("profiles", go)) as d:
        d.cmd("profiles", tmp_path)    # so that the program has worked out the rate of its counter
        with stopped(d.pid):
            core, saved = gcore(d.pid, tmp_path), tmp_path / "x.whyrss"
            whyrss("capture", d.pid, "-o", saved, "--stacks")
            live, dead = {}, {}
            for kind in KINDS + SPACE_KINDS:
                for debug in (0, 1, 2)[:3 if kind == "goroutine" else 2 if kind in KINDS else 1]:
                    args = ("--kind", kind, *(("--debug", str(debug)) if debug else ()))
                    live[kind, debug] = take(d.pid, tmp_path / "live", *args)
    for kind, debug in live:
        args = ("--kind", kind, *(("--debug", str(debug)) if debug else ()))
        for target in (core, saved):
            if target == core and kind in ("space", "fragmentation"):   # a core does not know which pages were in memory
                code, _, err = whyrss("profile", target, *args, check=False)
                assert code == 1 and "which pages were in memory is not known" in err and len(err.splitlines()) == 1
                continue
            dead[target.suffix, kind, debug] = take(target, tmp_path / "dead", *args)
    for (suffix, kind, debug), got in dead.items():
        want = live[kind, debug]
        if debug == 0:
            assert rows(got) == rows(want) and len(rows(got)) >= (40 if kind in ("heap", "allocs", "space") else 1), (suffix, kind)
            assert {k: v for k, v in heads(got).items() if k != "mappings"} == {k: v for k, v in heads(want).items() if k != "mappings"}
        elif kind in ("heap", "allocs"):
            assert records(got) == records(want) and got.splitlines()[0] == want.splitlines()[0]
        else:
            assert got == want, (suffix, kind, debug)
