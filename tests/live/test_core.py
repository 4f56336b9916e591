"""Cores: the kernel's own and gcore's, whole, truncated, compressed, without some segments, and bytes that are none."""
import contextlib
import json
import os
import pathlib
import resource
import shutil
import signal
import struct
import subprocess
import time

import pytest
from conftest import BRIDGE, LINES, bridge, lines, view, whyrss
from demos import DEMOS, Demo, build

HEAP = ("heap.live", "heap.new", "heap.dead", "heap.slots", "heap.tail", "heap.free", "heap.released")
SHORT = ["fragmentation", "leakedgoroutines", "mixed"]


def kernel_writes_files():
    pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip()
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    return "/" not in pattern and not pattern.startswith("|") and hard == resource.RLIM_INFINITY


@contextlib.contextmanager
def stopped(pid):
    """A process that stands still, so that what is read of it twice is the same."""
    os.kill(pid, signal.SIGSTOP)
    end = time.monotonic() + 10
    while time.monotonic() < end:
        states = {p.read_text().rsplit(") ", 1)[1][0] for p in pathlib.Path(f"/proc/{pid}/task").glob("*/stat")}
        if states == {"T"}:
            break
        time.sleep(0.01)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


GCORE_MAX = 3 << 30  # gdb writes reserved address space as zeros: some demos would fill a disk


def gcore(pid, folder):
    r = subprocess.run(["gcore", "-o", str(folder / "gcore"), str(pid)], capture_output=True, text=True, timeout=120,
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (GCORE_MAX, GCORE_MAX)))
    core = folder / f"gcore.{pid}"
    # cut at the limit it is left without its header, which gdb writes last, and exit code 0
    if r.returncode or not core.exists() or core.open("rb").read(4) != b"\x7fELF":
        core.unlink(missing_ok=True)
        pytest.skip(f"gcore wrote no core of at most {GCORE_MAX >> 30} GiB: {r.stderr[-300:]}")
    return core


@pytest.fixture(autouse=True)
def no_large_files_left(tmp_path):
    """pytest keeps its folders for three runs; cores must not be kept."""
    yield
    for f in tmp_path.rglob("*"):
        if f.is_file() and not f.is_symlink() and f.stat().st_size > 32 << 20:
            f.unlink()


def start_in(folder, binary, coredump_filter=None):
    """A script that starts a program in a folder of its own, with cores allowed."""
    script = folder / "start.sh"
    line = f"echo {coredump_filter} > /proc/self/coredump_filter\n" if coredump_filter else ""
    script.write_text(f"#!/bin/sh\n{line}cd {folder}\nulimit -c unlimited\nexec {binary} \"$@\"\n")
    script.chmod(0o755)
    return str(script)


def crash(d, folder):
    """Has the kernel write a core. The program must have been started with GOTRACEBACK=crash."""
    os.kill(d.pid, signal.SIGABRT)
    os.kill(d.pid, signal.SIGCONT)
    d.proc.wait(60)
    found = list(folder.glob("core*"))
    assert len(found) == 1, found
    return found[0]


def check_core(got, live):
    """The contract's rules where residency is not known, and the heap of the live process."""
    assert got["schema"] == "whyrss.ledger/1" and got["target"]["kind"] == "core"
    assert [x["id"] for x in got["lines"]] == LINES and [x["id"] for x in got["bridge"]] == BRIDGE
    assert got["os"]["rss"] is None and got["os"]["rss_kernel"] is None
    assert all(x["resident"] is None and x["swapped"] is None for x in got["lines"])
    row, line, was = bridge(got), lines(got), lines(live)
    known = BRIDGE.index("free")
    total = 0
    for i, r in enumerate(got["bridge"]):
        if i > known:
            assert r["delta"] is None and r["sum"] is None, r
            continue
        total += r["delta"]
        assert r["sum"] == total
    assert row["sampling"]["delta"] == line["heap.live"]["bytes"] - got["profile"]["inuse_space"]
    for i in HEAP:
        assert line[i]["bytes"] == was[i]["bytes"], i
    for i in ("stack.used", "stack.spare", "runtime.mspan", "runtime.mcache", "runtime.profiler"):
        assert abs(line[i]["bytes"] - was[i]["bytes"]) <= (256 << 10 if i.startswith("stack") else 0), i
    for k in ("enabled", "rate", "inuse_space", "inuse_objects", "gc_cycle"):
        assert got["profile"][k] == live["profile"][k], k


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in SHORT else [pytest.mark.full]) for n in DEMOS if n not in ("churn", "pace")])
def test_core_of_a_demo(name, tmp_path):
    core_of(build(name), name, tmp_path)


@pytest.mark.parametrize("name,flags", [("fragmentation", ["-ldflags=-s -w"]),
                                        pytest.param("mixed", ["-buildmode=pie", "-ldflags=-s -w"], marks=pytest.mark.full),
                                        pytest.param("fragmentation", ["-trimpath", "-buildmode=pie", "-ldflags=-s -w"], marks=pytest.mark.full)])
def test_core_of_a_stripped_demo(name, flags, tmp_path):
    got = core_of(build(name, flags=flags), name, tmp_path)
    assert got["target"]["stripped"] is True
    assert any("no symbol table" in n for n in got["notes"]), got["notes"]


def core_of(binary, name, tmp_path):
    with Demo(binary) as d:
        with stopped(d.pid):
            live = view("ledger", d.pid)
            stats = view("memstats", d.pid)
            core = gcore(d.pid, tmp_path)
    code, out, err = whyrss(core, "--json")
    assert code == 3, err
    got = json.loads(out)
    check_core(got, live)
    assert got["target"]["pid"] == d.pid and got["target"]["exe"] == live["target"]["exe"]
    assert got["causes"][0]["id"] == live["causes"][0]["id"] or name not in SHORT, [c["id"] for c in got["causes"]]
    mem = view("memstats", core)
    for k in ("HeapAlloc", "HeapInuse", "HeapIdle", "HeapReleased", "StackInuse", "Mallocs", "Frees", "NumGC", "Sys", "TotalAlloc"):
        assert mem[k] == stats[k], k
    assert view("goroutines", core)["schema"] == "whyrss.goroutines/1"
    return got


@pytest.fixture(scope="module")
def kernel_core(tmp_path_factory):
    """(core, what the ledger said of the process just before)."""
    if not kernel_writes_files():
        pytest.skip("the kernel writes no core files here")
    folder = tmp_path_factory.mktemp("kernel")
    with Demo(start_in(folder, build("fragmentation")), env={"GOTRACEBACK": "crash"}) as d:
        with stopped(d.pid):
            live = view("ledger", d.pid)
        core = crash(d, folder)
    yield core, live
    core.unlink()


def test_kernel_core(kernel_core):
    core, live = kernel_core
    code, out, _ = whyrss("core", core, "--json")
    assert code == 3
    got = json.loads(out)
    # a dying runtime allocates a little: the traceback's buffers
    was, line = lines(live), lines(got)
    for i in HEAP:
        assert abs(line[i]["bytes"] - was[i]["bytes"]) <= 64 << 10, i
    assert got["causes"][0]["id"] == "fragmentation"
    assert got["os"]["rss"] is None
    _, text, _ = whyrss(core)
    assert "RSS unknown" in text and "holes between objects" in text
    for v in ("memstats", "spans", "goroutines", "maps"):
        assert whyrss(v, core, "--json")[0] in (0, 3)


def test_compressed_as_systemd_keeps_them(kernel_core, tmp_path):
    core, _ = kernel_core
    packed = tmp_path / "core.fragmentation.zst"
    subprocess.run(["zstd", "-q", "-1", str(core), "-o", str(packed)], check=True)
    _, plain, _ = whyrss(core, "--json")
    code, out, err = whyrss(packed, "--json")
    assert code == 3, err
    a, b = json.loads(plain), json.loads(out)
    assert a["lines"] == b["lines"] and a["bridge"] == b["bridge"] and a["causes"] == b["causes"]
    # cut in the middle: what is left of it, or a clear word
    cut = tmp_path / "cut.zst"
    data = packed.read_bytes()
    cut.write_bytes(data[:len(data) // 2])
    code, _, err = whyrss(cut, "--json", check=False)
    assert code in (1, 3) and (code == 3 or len(err.splitlines()) == 1), err


def test_truncated(kernel_core, tmp_path):
    core, _ = kernel_core
    size = core.stat().st_size
    for part in (0, 3, 63, 64, 1000, 5000, 100000, size // 50, size // 4, size // 2, size - 4096, size - 1):
        cut = tmp_path / "cut"
        shutil.copyfile(core, cut)
        os.truncate(cut, part)
        code, out, err = whyrss(cut, "--json", check=False)
        if code == 1:
            assert len(err.splitlines()) == 1 and str(cut) in err, (part, err)
            assert part < 64 or "cut off" in err or "truncated" in err or "program headers" in err, (part, err)
        else:
            assert code == 3
            assert any("truncated" in n for n in json.loads(out)["notes"]), part


def test_executable(kernel_core, tmp_path):
    core, live = kernel_core
    exe = live["target"]["exe"]
    # another program is refused, the same bytes elsewhere are taken
    code, _, err = whyrss(core, "--exe", build("nothing"), check=False)
    assert code == 1 and "another build" in err and len(err.splitlines()) == 1
    code, _, err = whyrss(core, "--exe", tmp_path / "none", check=False)
    assert code == 1 and "not here" in err
    code, _, err = whyrss(core, "--exe", "/etc/passwd", check=False)
    assert code == 1
    copy = tmp_path / "copy"
    shutil.copy2(exe, copy)
    assert whyrss(core, "--exe", copy, "--json")[0] == 3
    # --freeze and --pss are of processes
    assert whyrss(core, "--freeze", check=False)[0] == 2


def test_executable_that_is_gone_or_replaced(tmp_path):
    binary = shutil.copy2(build("nothing"), tmp_path / "program")
    with Demo(binary) as d, stopped(d.pid):
        core = gcore(d.pid, tmp_path)
    os.rename(binary, tmp_path / "elsewhere")
    code, _, err = whyrss(core, check=False)
    assert code == 1 and "--exe" in err and len(err.splitlines()) == 1, err
    assert whyrss(core, "--exe", tmp_path / "elsewhere", "--json")[0] == 3
    shutil.copy2(build("fragmentation"), binary)
    code, _, err = whyrss(core, check=False)
    assert code == 1 and "another build" in err, err


def test_missing_segments(tmp_path):
    """coredump_filter without anonymous memory: nothing to explain, said in one sentence."""
    if not kernel_writes_files():
        pytest.skip("the kernel writes no core files here")
    for number, bits in enumerate(("0x20", "0x23")):
        folder = tmp_path / str(number)
        folder.mkdir()
        with Demo(start_in(folder, build("nothing"), bits), env={"GOTRACEBACK": "crash"}) as d:
            core = crash(d, folder)
        code, _, err = whyrss(core, "--json", check=False)
        if bits == "0x20":
            assert code == 1 and len(err.splitlines()) == 1, err
        else: # without the first page of files: the program is taken unchecked, and that is said
            assert code == 3, err


def test_huge_and_sparse(kernel_core, tmp_path):
    """A core of 100 GB with holes costs neither time nor memory."""
    core, live = kernel_core
    data = bytearray(core.read_bytes()[:1 << 20])
    big = tmp_path / "big"
    shutil.copyfile(core, big)
    size = core.stat().st_size
    phoff, = struct.unpack_from("<Q", data, 32)
    phnum, = struct.unpack_from("<H", data, 56)
    at = phoff + (phnum - 1) * 56
    # the last load (vsyscall) is turned into 100 GB of nothing
    struct.pack_into("<IIQQQQQQ", data, at, 1, 6, round((size + 4095) / 4096) * 4096, 0x600000000000, 0, 100 << 30, 100 << 30, 4096)
    with big.open("r+b") as f:
        f.write(data[:at + 56])
    os.truncate(big, size + (101 << 30))
    r = subprocess.run(["/usr/bin/env", "time", "-f", "%M", os.environ.get("WHYRSS", "build/release/whyrss"), str(big), "--json"],
                       capture_output=True, text=True, timeout=60) if shutil.which("time") else None
    code, out, err = whyrss(big, "--json")
    assert code == 3, err
    got, was = lines(json.loads(out)), lines(live)
    for i in HEAP:
        assert abs(got[i]["bytes"] - was[i]["bytes"]) <= 64 << 10, i
    if r and r.returncode == 3:
        assert int(r.stderr.strip().splitlines()[-1]) < 200 << 10, r.stderr


def test_garbage(tmp_path):
    def say(content):
        f = tmp_path / "file"
        f.write_bytes(content)
        code, _, err = whyrss(f, check=False)
        assert code == 1 and len(err.splitlines()) == 1, (code, err)
        return err

    head = bytearray(b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 4, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0))
    say(bytes(head))
    say(bytes(head) + struct.pack("<IIQQQQQQ", 1, 6, 0, 0, 0, 1 << 63, 1 << 63, 0))
    say(bytes(head) + struct.pack("<IIQQQQQQ", 4, 0, 64, 0, 0, 1 << 62, 0, 4))
    say(bytes(head) + os.urandom(4096))
    say(b"\x28\xb5\x2f\xfd" + os.urandom(500))
    arm = bytearray(head)
    struct.pack_into("<H", arm, 18, 183)
    assert "amd64" in say(bytes(arm) + bytes(100))
