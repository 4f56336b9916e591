"""Go in other shapes: as a library in a C program, twice in one process, by an unknown release, without its main thread."""
import json
import os
import pathlib
import shutil
import subprocess
import time

import pytest
from conftest import ledger, lines, view, whyrss
from demos import Demo, build

LIB = """package main

import "C"

var keep [][]byte

//export Fill%(n)d
func Fill%(n)d(mib C.int) {
	for i := 0; i < int(mib); i++ {
		b := make([]byte, 1<<20)
		for j := range b {
			b[j] = 1
		}
		keep = append(keep, b)
	}
}

func main() {}
"""

HOST = """#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv)
{
	char c;
	for (int i = 1; i < argc; i++) {
		char name[32];
		void *lib = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
		snprintf(name, sizeof name, "Fill%d", i);
		void (*fill)(int) = lib ? (void (*)(int))dlsym(lib, name) : 0;
		if (!fill) {
			puts(dlerror());
			return 1;
		}
		fill(40 * i);
	}
	puts("ready");
	fflush(stdout);
	return read(0, &c, 1) < 0;
}
"""


@pytest.fixture(scope="module")
def libs(tmp_path_factory):
    root = tmp_path_factory.mktemp("cshared")
    out = []
    for n in (1, 2):
        d = root / f"lib{n}"
        d.mkdir()
        (d / "go.mod").write_text(f"module lib{n}\n\ngo 1.21\n")
        (d / "lib.go").write_text(LIB % {"n": n})
        env = {**os.environ, "CGO_ENABLED": "1", "GOFLAGS": "-buildvcs=false"}
        subprocess.run(["go", "build", "-buildmode=c-shared", "-o", str(d / f"lib{n}.so"), "."], cwd=d, env=env, check=True, timeout=600)
        out.append(str(d / f"lib{n}.so"))
    (root / "host.c").write_text("#include <unistd.h>\n" + HOST)
    subprocess.run(["cc", "-o", str(root / "host"), str(root / "host.c"), "-ldl"], check=True)
    return str(root / "host"), out


class Host:
    def __init__(self, argv, ready="ready\n"):
        self.ready = ready
        self.p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        assert self.p.stdout.readline().startswith(self.ready)
        return self.p.pid

    def __exit__(self, *_):
        self.p.stdin.close()
        try:
            self.p.wait(10)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()


def test_go_inside_a_c_program(libs):
    host, so = libs
    with Host([host, so[0]]) as pid:
        d = ledger(pid)
        line = lines(d)
        assert 40 << 20 <= line["heap.live"]["bytes"] + line["heap.new"]["bytes"] <= 60 << 20
        assert line["binary.text"]["resident"] > 0 and line["libs"]["resident"] > 0
        assert line["unexplained"]["resident"] < 0.005 * d["os"]["rss"]


def test_stripped_go_inside_a_c_program(libs, tmp_path):
    """A library's first goroutine slot is not the goroutine 1."""
    host, so = libs
    stripped = tmp_path / "lib1.so"
    subprocess.run(["strip", "-o", str(stripped), so[0]], check=True)
    with Host([host, str(stripped)]) as pid:
        d = ledger(pid)
        line = lines(d)
        assert any("no symbol table" in n for n in d["notes"]), d["notes"]
        assert 40 << 20 <= line["heap.live"]["bytes"] + line["heap.new"]["bytes"] <= 60 << 20
        assert line["unexplained"]["resident"] < 0.005 * d["os"]["rss"]


def test_two_runtimes_in_one_process(libs):
    host, so = libs
    with Host([host, *so]) as pid:
        code, out, _ = whyrss(pid, "--json", check=False)
        assert code == 3
        d = ledger(pid)
        # Neither is the program: one is explained, the other one is named.
        other = [n for n in d["notes"] if "another Go runtime" in n]
        assert len(other) == 1 and ("lib1.so" in other[0]) != ("lib2.so" in other[0])
        mib = 80 if "lib1.so" in other[0] else 40
        line = lines(d)
        assert mib << 20 <= line["heap.live"]["bytes"] + line["heap.new"]["bytes"] <= (mib + 20) << 20


UNKNOWN = "-ldflags=-X=runtime.buildVersion=go1.99.1"


def test_unknown_release_by_dwarf():
    """A release without a record: its own DWARF says where things are."""
    with Demo(build("fragmentation", flags=[UNKNOWN])) as d:
        got = ledger(d.pid)
        assert got["target"]["go"] == "go1.99.1"
        assert got["causes"][0]["id"] == "fragmentation"
        assert lines(got)["unexplained"]["resident"] < 0.005 * got["os"]["rss"]


def test_unknown_release_without_dwarf():
    """No record and no DWARF: the nearest record, if its checks pass, and a note that says so."""
    with Demo(build("fragmentation", flags=[UNKNOWN + " -w"])) as d:
        got = ledger(d.pid)
        assert any("no recorded layout" in n and "checks pass" in n for n in got["notes"]), got["notes"]
        assert got["causes"][0]["id"] == "fragmentation"


def test_unknown_release_that_does_not_fit():
    """An old program that claims to be a far newer release: refused in a sentence that names what failed."""
    with Demo(build("nothing", "go1.21.13", flags=[UNKNOWN + " -w"])) as d:
        code, out, err = whyrss(d.pid, check=False)
        assert code == 1 and out == ""
        assert "mspan" in err or "mcache" in err, err


def test_dwarf_agrees_with_the_record():
    """The same program through its record and through its DWARF: the same counters."""
    answers = []
    for flags in ([], [UNKNOWN]):
        with Demo(build("nothing", flags=flags)) as d:
            answers.append(view("memstats", d.pid))
    for key in ("HeapSys", "StackSys", "MCacheInuse", "NumGC", "GCSys"):
        assert abs(answers[0][key] - answers[1][key]) <= max(0.05 * answers[0][key], 1 << 20), key


def test_cgroup_option(tmp_path):
    """--cgroup: every Go process of a container."""
    with Demo(build("nothing")) as d, Demo(build("rawmmap")) as e:
        path = ledger(d.pid)["cgroup"]["path"]
        code, out, err = whyrss("ledger", "--cgroup", path)
        assert str(d.pid) in out and str(e.pid) in out, (out, err)


def test_path_with_hostile_bytes(tmp_path):
    """A program whose name is made to confuse a terminal or a page."""
    name = "evil\x1b[31m<script>alert(1)<\u202e"
    exe = pathlib.Path(tmp_path) / name
    shutil.copy(build("nothing"), exe)
    with Demo(str(exe)) as d:
        for v in ("ledger", "maps", "goroutines", "spans", "memstats"):
            _, text, _ = whyrss(v, d.pid, "--color=never")
            assert "\x1b" not in text and "\u202e" not in text
        assert view("maps", d.pid)
        _, out, _ = whyrss()
        assert "\x1b[31m<" not in out and "\u202e" not in out


GONE = """package main

import ("fmt"; "io"; "os"; "runtime"; "syscall")

var keep [][]byte

func init() { runtime.LockOSThread() }

func main() {
	for i := 0; i < 64; i++ {
		b := make([]byte, 1<<20)
		for j := range b { b[j] = 1 }
		keep = append(keep, b)
	}
	go func() {
		fmt.Println("ready")
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	syscall.Syscall(syscall.SYS_EXIT, 0, 0, 0)
}
"""

VFORK = """package main

// #include <unistd.h>
// static void hold(int s) { if (vfork() == 0) { sleep(s); _exit(0); } }
import "C"
import ("fmt"; "io"; "os")

func main() {
	go func() { for { C.hold(20) } }()
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}
"""


ARENAS = """package main

import ("arena"; "encoding/json"; "fmt"; "io"; "os"; "runtime")

type big struct {
	next *big
	b    [4000]byte
}

func fill(a *arena.Arena, n int) (l *big) {
	for i := 0; i < n; i++ {
		p := arena.New[big](a)
		for j := range p.b { p.b[j] = 1 }
		p.next = l
		l = p
	}
	return l
}

func main() {
	kept, freed := arena.NewArena(), arena.NewArena()
	a, b := fill(kept, 3000), fill(freed, 5000)
	freed.Free() // and b still points into it: its chunks stay in quarantine
	runtime.GC()
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	text, _ := json.Marshal(ms)
	fmt.Println("ready")
	fmt.Println(string(text))
	io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(a)
	runtime.KeepAlive(b)
	runtime.KeepAlive(kept)
}
"""


def program(tmp_path, text):
    (tmp_path / "go.mod").write_text("module x\n\ngo 1.21\n")
    (tmp_path / "main.go").write_text(text)
    subprocess.run(["go", "build", "-o", "prog", "."], cwd=tmp_path, env={**os.environ, "CGO_ENABLED": "1", "GOEXPERIMENT": "arenas"}, check=True, timeout=600)
    return str(tmp_path / "prog")


def state_of(tid):
    with open(f"/proc/{tid}/stat", encoding="utf-8") as f:
        return f.read().rpartition(")")[2].split()[0]


def test_leader_ended_before_its_threads(tmp_path):
    """The main thread is a zombie, the program runs on: it is read through a thread that lives."""
    with Host([program(tmp_path, GONE)]) as pid:
        end = time.monotonic() + 20
        while state_of(pid) != "Z" and time.monotonic() < end:
            time.sleep(0.01)
        assert state_of(pid) == "Z"
        got = ledger(pid)
        line = lines(got)
        assert got["target"]["pid"] == pid
        assert 64 << 20 <= line["heap.live"]["bytes"] + line["heap.new"]["bytes"] <= 70 << 20
        assert line["unexplained"]["resident"] < 0.005 * got["os"]["rss"]
        assert ledger(pid, "--freeze")["read"]["stopped_ms"] > 0


def test_freed_user_arenas_are_address_space(tmp_path):
    """GOEXPERIMENT=arenas: chunks that were freed and are still pointed to count nowhere, as in MemStats."""
    host = Host([program(tmp_path, ARENAS)])
    with host as pid:
        truth = json.loads(host.p.stdout.readline())
        got = ledger(pid)
        b = {k: v["bytes"] for k, v in lines(got).items()}
        alloc = b["heap.live"] + b["heap.new"] + b["heap.dead"]
        # what it allocated since is the text of its own answer
        assert 0 <= alloc - truth["HeapAlloc"] <= 256 << 10
        assert abs(alloc + b["heap.slots"] + b["heap.tail"] - truth["HeapInuse"]) <= 512 << 10
        assert lines(got)["unexplained"]["resident"] == 0


def test_efence(monkeypatch):
    """GODEBUG=efence=1: each stack is a mapping of its own, and on the stack lines all the same."""
    exe = build("leakedgoroutines")
    monkeypatch.setenv("GODEBUG", "efence=1")
    with Host([exe], ready="ready ") as pid:
        got = ledger(pid)
        line = lines(got)
        assert got["causes"][0]["id"] == "goroutines"
        assert line["stack.used"]["resident"] + line["stack.spare"]["resident"] > 100 << 20
        assert line["anon"]["resident"] < 2 << 20 and line["unexplained"]["resident"] == 0
        assert view("memstats", pid)["StackInuse"] < 1 << 20


def test_freeze_of_a_process_in_vfork(tmp_path):
    """A thread that waits for its child in vfork can't be stopped: said at once, and the others run on."""
    with Host([program(tmp_path, VFORK)]) as pid:
        end = time.monotonic() + 20
        while time.monotonic() < end and not any(state_of(t) == "D" for t in os.listdir(f"/proc/{pid}/task")):
            time.sleep(0.01)
        code, out, err = whyrss(pid, "--freeze", check=False)
        assert code == 1 and out == "" and "vfork" in err and err.count("\n") == 1, err
        assert not any(state_of(t) in "tT" for t in os.listdir(f"/proc/{pid}/task"))
        assert lines(ledger(pid))["unexplained"]["resident"] == 0
