"""Where processes live: namespaces, an empty root, marked undumpable, sealed mappings, names from prctl, a random heap base."""
import os
import shutil
import subprocess

import pytest
from conftest import WHYRSS, ledger, lines, view, whyrss
from demos import Demo, build
from test_stripped import Run, compare

# What a program may do to itself; each word of its arguments is one of these.
PROGRAM = """package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

func init() { runtime.LockOSThread() } // the name is the main thread's

var keep [][]byte

func main() {
	for i := 0; i < 20; i++ {
		keep = append(keep, make([]byte, 1<<20))
		for j := range keep[i] {
			keep[i][j] = 1
		}
	}
	for _, word := range os.Args[1:] {
		var errno syscall.Errno
		switch word {
		case "undumpable": // PR_SET_DUMPABLE
			_, _, errno = syscall.RawSyscall(syscall.SYS_PRCTL, 4, 0, 0)
		case "named": // PR_SET_NAME
			name := []byte("\\x1b[31m<b>\\n\\"\\xff)\\x00")
			_, _, errno = syscall.RawSyscall(syscall.SYS_PRCTL, 15, uintptr(unsafe.Pointer(&name[0])), 0)
		case "high": // above 47 bits: a processor with five levels of page tables gives it to whom asks for it
			const size = 8 << 20
			at, _, e := syscall.RawSyscall6(syscall.SYS_MMAP, 1<<52, size, syscall.PROT_READ|syscall.PROT_WRITE,
				syscall.MAP_ANON|syscall.MAP_PRIVATE, ^uintptr(0), 0)
			if errno = e; e == 0 && at < 1<<47 {
				errno = syscall.ENOSYS
			}
			for i := uintptr(0); errno == 0 && i < size; i += 4096 {
				*(*byte)(unsafe.Add(unsafe.Pointer(nil), at+i)) = 1
			}
		case "sealed": // mseal of a mapping of its own, and of all that the file brings
			b, err := syscall.Mmap(-1, 0, 8<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
			if err != nil {
				panic(err)
			}
			for i := range b {
				b[i] = 1
			}
			_, _, errno = syscall.RawSyscall(462, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0)
			if errno == 0 {
				_, _, errno = syscall.RawSyscall(462, 0x400000, 4096, 0)
			}
		}
		if errno != 0 {
			fmt.Println("cannot", word, errno)
			os.Exit(1)
		}
	}
	fmt.Println("ready")
	os.Stdin.Read(make([]byte, 1))
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    d = tmp_path_factory.mktemp("place")
    (d / "go.mod").write_text("module place\n\ngo 1.21\n")
    (d / "main.go").write_text(PROGRAM)
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOWORK": "off"}
    subprocess.run(["go", "build", "-p", "2", "-o", "place", "."], cwd=d, env=env, check=True, timeout=600)
    os.chmod(d, 0o755)
    return d / "place"


@pytest.fixture
def for_nobody():
    """Programs where a user without rights can reach them."""
    if os.getuid() != 0:
        pytest.skip("needs root to become somebody else")
    d = f"/tmp/whyrss-nobody-{os.getpid()}"
    os.mkdir(d)
    os.chmod(d, 0o755)

    def copy(path):
        shutil.copy(path, d)
        os.chmod(f"{d}/{os.path.basename(path)}", 0o755)
        return f"{d}/{os.path.basename(path)}"

    yield copy
    shutil.rmtree(d)


NOBODY = {"user": 65534, "group": 65534, "extra_groups": []}


def explained(pid):
    d = ledger(pid)
    line = lines(d)
    assert 20 << 20 <= line["heap.live"]["bytes"] + line["heap.new"]["bytes"] <= 40 << 20
    assert line["unexplained"]["resident"] < 0.005 * d["os"]["rss"]
    return d


def as_nobody(tool, *args):
    return subprocess.run([tool, *map(str, args)], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, **NOBODY)


def refused(r):
    assert r.returncode == 1 and r.stdout == "" and len(r.stderr.strip().splitlines()) == 1, (r.returncode, r.stdout, r.stderr)
    assert "CAP_SYS_PTRACE" in r.stderr, r.stderr


def test_static_program_alone(tmp_path):
    """As in a distroless container: -s -w, -trimpath, without C, in a root with nothing but the program, in namespaces."""
    if os.getuid() != 0:
        pytest.skip("needs root to change the root")
    exe = build("fragmentation", cgo=False, flags=["-trimpath", "-ldflags=-s -w"])
    shutil.copy(exe, tmp_path / "app")
    p = subprocess.Popen(["unshare", "--mount", "--pid", "--ipc", "--uts", "--net", "--fork", "--kill-child", "chroot", str(tmp_path), "/app"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert p.stdout.readline().startswith("ready ")
        with open(f"/proc/{p.pid}/task/{p.pid}/children", encoding="utf-8") as f:
            child = int(f.read().split()[0])
        d = ledger(child)
        assert d["target"]["stripped"] is True and d["causes"][0]["id"] == "fragmentation"
        assert lines(d)["unexplained"]["resident"] < 0.005 * d["os"]["rss"]
        assert "runtime.gcBgMarkStartWorkers" in str(view("goroutines", child)["groups"])  # names, out of that root's file
        (tmp_path / "app").unlink()  # an image that was deleted below it
        assert ledger(child)["causes"][0]["id"] == "fragmentation"
    finally:
        p.stdin.close()
        p.wait(20)


def test_static_twin(program):
    """The same process with its symbols and without."""
    with Run([program]) as p:
        for v, diff, _ in compare(p.pid):
            assert not diff, (v, diff[:8])


def test_user_namespace(program, for_nobody):
    """Another user's namespace of users: root reads it, its owner does, a stranger gets one sentence."""
    tool, exe = for_nobody(WHYRSS), for_nobody(program)
    try:
        subprocess.run(["unshare", "-U", "-r", "true"], check=True, capture_output=True, **NOBODY)
    except subprocess.CalledProcessError as e:
        pytest.skip(f"no user namespaces here: {e.stderr}")
    with Run(["unshare", "-U", "-r", exe], **NOBODY) as p:  # unshare becomes it
        assert explained(p.pid)["target"]["pid"] == p.pid
        r = as_nobody(tool, p.pid, "--json")
        assert r.returncode in (0, 3), r.stderr
        r = subprocess.run([tool, str(p.pid)], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                           user=65533, group=65533, extra_groups=[])
        refused(r)


def test_undumpable(program, for_nobody):
    tool, exe = for_nobody(WHYRSS), for_nobody(program)
    with Run([exe, "undumpable"], **NOBODY) as p:
        explained(p.pid)
        refused(as_nobody(tool, p.pid))
        # the list of that user says that there is something which it may not look at
        r = as_nobody(tool)
        assert r.returncode == 0 and "can't be looked at" in r.stdout, r.stdout
    with Run([exe], **NOBODY) as p:
        assert as_nobody(tool, p.pid).returncode in (0, 3)


@pytest.mark.parametrize("what", ["sealed", "high"])
def test_mappings(program, what):
    """mseal; addresses above 47 bits, where the processor has five levels of page tables."""
    with subprocess.Popen([program, what], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        try:
            said = p.stdout.readline()
            if said.startswith(f"cannot {what} function not implemented"):
                pytest.skip(f"not on this machine: {what}")
            assert said == "ready\n", said
            assert lines(explained(p.pid))["anon"]["resident"] >= 8 << 20
            if what == "high":
                assert [m for m in view("maps", p.pid)["maps"] if int(m["start"], 16) >= 1 << 47 and m["rss"] >= 8 << 20]
        finally:
            p.stdin.close()
            p.wait(20)


def test_name_from_prctl(program):
    with Run([program, "named"]) as p:
        explained(p.pid)
        for args in ((), (p.pid,), ("maps", p.pid), ("goroutines", p.pid), ("memstats", p.pid)):
            code, out, err = whyrss(*args, "--color=never", check=False)
            assert code in (0, 3) and "\x1b" not in out + err and "\xff" not in out
        assert view("processes", "--all")


def test_heap_base_is_random():
    """Since 1.26 the heap begins elsewhere in each process."""
    exe, starts = build("nothing"), set()
    for _ in range(4):
        with Demo(exe) as d:
            got = ledger(d.pid)
            assert lines(got)["unexplained"]["resident"] < 0.005 * got["os"]["rss"]
            heap = [m for m in view("maps", d.pid)["maps"] if "heap.live" in (m.get("lines") or {})]
            assert heap
            starts.add(heap[0]["start"])
    assert len(starts) > 1, starts
