"""Captures: every view answers as on the live process, without it and without its program; small; nothing of the program's data."""
import copy
import json
import os
import shutil
import subprocess

import pytest
from conftest import ledger, lines, view, whyrss
from demos import DEMOS, Demo, build
from test_core import gcore, no_large_files_left, stopped  # noqa: F401: a fixture

SHORT = ["fragmentation", "leakedgoroutines", "mixed"]
VIEWS = ("ledger", "memstats", "spans", "goroutines", "maps")
SECRET = "a-secret-of-the-program-4711"


def capture(target, path, *args):
    _, out, _ = whyrss("capture", target, "-o", path, "--json", *args)
    got = json.loads(out)
    assert got["schema"] == "whyrss.capture/1" and got["file"] == str(path)
    assert os.path.getsize(path) == got["file_bytes"]
    return got


def timeless(answer):
    """An answer without what goes on while a process stands still: clocks and its neighbours in the cgroup."""
    d = copy.deepcopy(answer)
    for k in ("read", "cgroup", "container"):
        d.pop(k, None)
    d["target"].pop("kind")
    for g in d.get("groups", []):
        g.pop("longest_wait_ns", None)
    if "causes" in d:
        d["causes"] = [{k: c[k] for k in ("id", "bytes", "share", "confidence")} for c in d["causes"] if c["id"] != "container-metric"]
        d.pop("verdict", None)
    return d


def unpacked(path, tmp_path):
    plain = tmp_path / "plain"
    subprocess.run(["zstd", "-q", "-f", "-d", str(path), "-o", str(plain)], check=True)
    return plain.read_bytes()


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in SHORT else [pytest.mark.full]) for n in DEMOS if n != "churn"])
def test_same_answers(name, tmp_path):
    file = tmp_path / "x.whyrss"
    with Demo(build(name), env={"WHYRSS_SECRET": SECRET}) as d:
        with stopped(d.pid):
            got = capture(d.pid, file)
            want = {v: view(v, d.pid, "--all") for v in VIEWS}
    for v in VIEWS:  # the process is gone
        assert timeless(view(v, file, "--all")) == timeless(want[v]), v
    assert view("ledger", file)["target"]["kind"] == "capture"
    assert got["stack_bytes"] == 0
    rss = want["ledger"]["os"]["rss"]
    assert got["rss"] == rss
    if rss > 64 << 20:
        # what fills profiler's memory are the profile buckets themselves, and a capture is made of such
        assert got["file_bytes"] < rss * (0.025 if name == "profiler" else 0.012), (got["file_bytes"], rss)
    else:
        assert got["file_bytes"] < 1 << 20
    data = unpacked(file, tmp_path)
    assert data[:4] == b"\x7fELF" and b"whyrss capture 1" in data[:200]
    # the environment is in its heap and on its stack, literals are in its rodata
    for foreign in (SECRET.encode(), b"WHYRSS_SECRET", b"expect"):
        assert foreign not in data, foreign
    whyrss(file)
    assert os.stat(file).st_mode & 0o077 == 0


@pytest.mark.parametrize("name,flags", [("fragmentation", ["-ldflags=-s -w"]),
                                        pytest.param("mixed", ["-buildmode=pie", "-ldflags=-s -w"], marks=pytest.mark.full)])
def test_same_answers_stripped(name, flags, tmp_path):
    file = tmp_path / "x.whyrss"
    with Demo(build(name, flags=flags)) as d:
        with stopped(d.pid):
            capture(d.pid, file)
            want = {v: view(v, d.pid, "--all") for v in VIEWS}
    for v in VIEWS:
        assert timeless(view(v, file, "--all")) == timeless(want[v]), v
    got = view("ledger", file)
    assert got["target"]["stripped"] is True and got["notes"] == want["ledger"]["notes"]


def test_profiles_of_a_capture(tmp_path):
    file = tmp_path / "x.whyrss"
    with Demo(build("fragmentation")) as d, stopped(d.pid):
        capture(d.pid, file)
        for kind in ("heap", "allocs", "block", "mutex"):
            whyrss("profile", d.pid, "--kind", kind, "--debug", "1", "-o", tmp_path / f"live.{kind}")
    for kind in ("heap", "allocs", "block", "mutex"):
        whyrss("profile", file, "--kind", kind, "--debug", "1", "-o", tmp_path / f"capture.{kind}")
        # cycles/second is measured by each reader until the runtime has done so
        a, b = ([x for x in (tmp_path / f"{n}.{kind}").read_text().splitlines() if "cycles/second" not in x] for n in ("live", "capture"))
        assert a == b and a, kind


def test_without_the_program(tmp_path):
    binary = shutil.copy2(build("nothing"), tmp_path / "program")
    file = tmp_path / "x.whyrss"
    with Demo(binary) as d:
        capture(d.pid, file)
    os.unlink(binary)
    got = ledger(file)
    assert got["target"]["exe"] == str(binary)
    groups = view("goroutines", file, "--all", "--by", "start")["groups"]
    assert any("main" in json.dumps(g) for g in groups)


def test_stacks_only_when_asked_for(tmp_path):
    with Demo(build("leakedgoroutines")) as d:
        without = capture(d.pid, tmp_path / "a.whyrss")
        with_ = capture(d.pid, tmp_path / "b.whyrss", "--stacks")
    assert without["stack_bytes"] == 0 and with_["stack_bytes"] > 1 << 20
    assert with_["memory_bytes"] > without["memory_bytes"] + with_["stack_bytes"] // 2
    assert timeless(view("goroutines", tmp_path / "b.whyrss"))["schema"] == "whyrss.goroutines/1"


PRIVATE = r"""
package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
)

const constant = "%s"

var (
	global   = [4]string{constant, constant + "x"}
	heap     [][]byte
	byKey    = map[string]string{}
	inline   = map[[32]byte]int{}
	pool     sync.Pool
	channel  = make(chan [32]byte, 64)
	anything []any
)

func keep(s string) {
	var a [32]byte
	copy(a[:], s)
	for i := 0; i < 2000; i++ {
		heap = append(heap, []byte(strings.Repeat(s, 1+i%%40)))
		byKey[fmt.Sprint(s, i)] = s + s
		anything = append(anything, a, s, &a)
	}
	inline[a] = 1
	for i := 0; i < 60; i++ {
		channel <- a
		pool.Put(&a)
	}
}

func parked(s string, c chan int) {
	a := [64]byte{}
	copy(a[:], s)
	<-c
	fmt.Println(a, s)
}

func main() {
	runtime.MemProfileRate = 1
	runtime.SetBlockProfileRate(1)
	s := os.Args[1]
	keep(s)
	c := make(chan int)
	for i := 0; i < 50; i++ {
		pprof.Do(context.Background(), pprof.Labels(s, s+"v"), func(context.Context) { go parked(s, c) })
	}
	runtime.GC()
	runtime.GC()
	for i := range heap {
		if i%%3 == 0 {
			heap[i] = nil
		}
	}
	defer func() { recover() }()
	fmt.Println("ready {}")
	fmt.Scanln()
}
"""


def test_nothing_of_the_programs_data(tmp_path):
    """A marker in objects, maps, channels, pools, labels, constants, stacks, arguments and the environment is not in a capture."""
    unit = "Zq7#Kx9@"
    (tmp_path / "main.go").write_text(PRIVATE % (unit * 4))
    (tmp_path / "go.mod").write_text("module private\n\ngo 1.21\n")
    subprocess.run(["go", "build", "-o", tmp_path / "private", "."], cwd=tmp_path, check=True, timeout=300)
    with Demo(tmp_path / "private", [unit * 4], env={"PRIVATE": unit * 4}) as d:
        for name, n in ((f"/proc/{d.pid}/cmdline", 1), (f"/proc/{d.pid}/environ", 1)):
            assert open(name).read().count(unit * 4) == n
        capture(d.pid, tmp_path / "a.whyrss")
        capture(d.pid, tmp_path / "b.whyrss", "--stacks")
    data = unpacked(tmp_path / "a.whyrss", tmp_path)
    for i in range(len(unit)):
        # any eight bytes in a row, and the heads of its words
        assert data.count((unit * 2)[i:i + 8].encode()) == 0, (i, data.find((unit * 2)[i:i + 8].encode()))
    assert unit.encode() in unpacked(tmp_path / "b.whyrss", tmp_path)  # as --stacks says of itself; and so the search finds it
    assert "main.main" in whyrss("goroutines", tmp_path / "a.whyrss", "--all")[1]


def test_goroutine_profile_of_a_capture(tmp_path):
    with Demo(build("nothing")) as d, stopped(d.pid):
        capture(d.pid, tmp_path / "a.whyrss")
        capture(d.pid, tmp_path / "b.whyrss", "--stacks")
        _, want, _ = whyrss("profile", d.pid, "--kind", "goroutine", "--debug", "2")
    code, got, _ = whyrss("profile", tmp_path / "b.whyrss", "--kind", "goroutine", "--debug", "2")
    assert code == 0 and got == want and "main.main" in got
    code, got, err = whyrss("profile", tmp_path / "a.whyrss", "--kind", "goroutine", "--debug", "2")
    assert code == 3 and "--stacks" in err and "main.main" not in got


def test_default_name_and_usage(tmp_path):
    with Demo(build("nothing")) as d:
        code, out, err = whyrss("capture", d.pid, "--json", cwd=tmp_path)
        name = json.loads(out)["file"]
        assert name.startswith(f"nothing-{d.pid}-") and name.endswith(".whyrss") and (tmp_path / name).exists()
        assert [p.name for p in tmp_path.iterdir()] == [name]
        # the content tells, not the name
        os.rename(tmp_path / name, tmp_path / "renamed")
        assert view("ledger", tmp_path / "renamed")["target"]["kind"] == "capture"
        code, _, err = whyrss("capture", d.pid, "-o", tmp_path / "no" / "folder", check=False)
        assert code == 1 and len(err.splitlines()) == 1
    assert whyrss("capture", check=False)[0] == 2
    assert whyrss("capture", d.pid, "-o", tmp_path / "y", check=False)[0] == 1
    assert not (tmp_path / "y").exists()
    code, _, err = whyrss(tmp_path / "renamed", "--freeze", check=False)
    assert code == 2 and "no process" in err


def test_damaged(tmp_path):
    file, cut = tmp_path / "x.whyrss", tmp_path / "cut"
    with Demo(build("nothing")) as d:
        capture(d.pid, file)
    data = file.read_bytes()
    for n in (0, 3, 4, 20, 200, len(data) // 4, len(data) // 2, len(data) - 100, len(data) - 1):
        cut.write_bytes(data[:n])
        code, _, err = whyrss(cut, "--json", check=False)
        assert code in (1, 3) or n == len(data) - 1, n  # the checksum alone is missing there
        assert code != 1 or len(err.splitlines()) == 1
    for at in range(10, len(data), max(1, len(data) // 40)):
        bad = bytearray(data)
        bad[at] ^= 0x55
        cut.write_bytes(bad)
        code, _, err = whyrss(cut, "--json", check=False)
        assert code in (0, 1, 3) and len(err.splitlines()) <= 1
    newer = tmp_path / "newer"
    newer.write_bytes(unpacked(file, tmp_path).replace(b"whyrss capture 1\n", b"whyrss capture 9\n", 1))
    code, _, err = whyrss(newer, check=False)
    assert code == 1 and "newer" in err


def test_capture_of_a_core(tmp_path):
    """What a core holds, in a file that may be shared."""
    file = tmp_path / "x.whyrss"
    with Demo(build("fragmentation")) as d:
        with stopped(d.pid):
            core = gcore(d.pid, tmp_path)
    capture(core, file)
    a, b = view("ledger", core), view("ledger", file)
    assert a["lines"] == b["lines"] and a["bridge"] == b["bridge"]
    assert [c["id"] for c in a["causes"]] == [c["id"] for c in b["causes"]]
    assert lines(b)["heap.slots"]["resident"] is None
