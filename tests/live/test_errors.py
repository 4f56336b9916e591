"""Bad input: one clear sentence, the contract's exit code, bounded time."""
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from conftest import WHYRSS, ledger, lines, view, whyrss
from demos import Demo, build


def fails(*args, code=1, says=(), **kw):
    got, out, err = whyrss(*args, check=False, **kw)
    assert got == code, (got, out, err)
    assert out == ""
    assert len(err.strip().splitlines()) == 1, err
    assert err.startswith("whyrss: ")
    for word in says:
        assert word in err, err
    return err


def test_no_such_pid():
    p = subprocess.Popen(["true"])
    p.wait()
    fails(p.pid, says=[str(p.pid)])
    fails(4194304 + 5)


def test_zombie():
    p = subprocess.Popen([sys.executable, "-c", "pass"])
    time.sleep(0.5)  # ended, not waited for
    fails(p.pid)
    p.wait()


def test_not_go():
    p = subprocess.Popen(["sleep", "60"])
    try:
        fails(p.pid, says=["not a Go program"])
    finally:
        p.kill()
        p.wait()


def test_kernel_thread():
    fails(2)


def test_usage():
    fails("--no-such-option", code=2)
    fails("ledger", "1", "2", "3", code=2)
    fails("no-such-program-is-running-here", says=["no-such-program"])
    fails("ledger", code=2)


def test_core_and_file_targets_are_refused_in_words(tmp_path):
    f = tmp_path / "x.whyrss"
    f.write_bytes(b"\x00" * 64)
    fails(f)


def test_no_permission():
    """As another user: says what would allow it."""
    if os.getuid() != 0:
        pytest.skip("needs root to become somebody else")
    tool = "/tmp/whyrss-for-nobody"
    shutil.copy(WHYRSS, tool)
    os.chmod(tool, 0o755)
    with Demo(build("nothing")) as d:
        r = subprocess.run([tool, str(d.pid)], user=65534, group=65534, extra_groups=[], capture_output=True, text=True, timeout=30)
    os.unlink(tool)
    assert r.returncode == 1 and "CAP_SYS_PTRACE" in r.stderr and len(r.stderr.strip().splitlines()) == 1, r.stderr


def test_deleted_and_replaced_binary(tmp_path):
    src = build("nothing")
    for how in ("deleted", "replaced"):
        exe = tmp_path / f"prog-{how}"
        shutil.copy(src, exe)
        with Demo(str(exe)) as d:
            exe.unlink()
            if how == "replaced":
                exe.write_bytes(b"\x7fELF not any more")
            got = ledger(d.pid)
            assert lines(got)["unexplained"]["resident"] < 0.005 * got["os"]["rss"]
            assert view("goroutines", d.pid)  # names come from the deleted file too


def test_other_namespaces():
    """A process in a mount, PID and user namespace of its own."""
    exe = build("fragmentation")
    p = subprocess.Popen(["unshare", "--mount", "--pid", "--fork", "--kill-child", exe], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, text=True)
    try:
        assert p.stdout.readline().startswith("ready ")
        child = int(open(f"/proc/{p.pid}/task/{p.pid}/children", encoding="utf-8").read().split()[0])
        got = ledger(child)
        assert got["target"]["pid"] == child
        assert got["causes"][0]["id"] == "fragmentation"
    finally:
        p.stdin.close()
        p.wait(20)


def test_chroot(tmp_path):
    if os.getuid() != 0:
        pytest.skip("needs root to chroot")
    shutil.copy(build("nothing"), tmp_path / "prog")
    p = subprocess.Popen(["chroot", str(tmp_path), "/prog"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert p.stdout.readline().startswith("ready ")
        got = ledger(p.pid)
        assert lines(got)["unexplained"]["resident"] < 0.005 * got["os"]["rss"]
    finally:
        p.stdin.close()
        p.wait(20)


def test_target_ends_while_it_is_read():
    """Killed at a random moment of the reading: an answer or one sentence, never a hang."""
    exe = build("mixed")
    for delay in (0, 0.002, 0.005, 0.01, 0.02, 0.04):
        d = Demo(exe).start()
        try:
            r = subprocess.Popen([WHYRSS, str(d.pid), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            time.sleep(delay)
            os.kill(d.pid, signal.SIGKILL)
            out, err = r.communicate(timeout=30)
            assert r.returncode in (0, 1, 3), (r.returncode, err)
            if r.returncode == 1:
                assert out == "" and len(err.strip().splitlines()) == 1, err
        finally:
            d.close()


def test_name_as_target():
    with Demo(build("rawmmap")) as d:
        assert view("ledger", "rawmmap")["target"]["pid"] == d.pid
        with Demo(build("rawmmap")) as e:
            err = fails("rawmmap")
            assert str(d.pid) in err and str(e.pid) in err


def test_list():
    with Demo(build("nothing")) as d:
        code, out, _ = whyrss()
        assert code == 0
        row = [x for x in out.splitlines() if str(d.pid) in x.split()]
        assert row and "nothing" in row[0] and "go1." in row[0]


@pytest.mark.parametrize("flags", [["-buildmode=pie"], ["-ldflags=-w"], ["-ldflags=-s -w"], ["-trimpath"], ["-ldflags=-compressdwarf=false"], ["-race"]])
def test_build_modes(flags):
    cgo = "-race" in flags
    with Demo(build("fragmentation", flags=flags, cgo=cgo)) as d:
        got = ledger(d.pid)
        assert lines(got)["unexplained"]["resident"] < 0.005 * got["os"]["rss"]
        if not cgo:
            assert got["causes"][0]["id"] == "fragmentation"


def test_static_cgo():
    with Demo(build("cleak", flags=["-ldflags=-linkmode external -extldflags -static"])) as d:
        got = ledger(d.pid)
        assert lines(got)["unexplained"]["resident"] < 0.005 * got["os"]["rss"]
        assert got["causes"][0]["id"] == "native-leak"


def test_broken_pipe():
    with Demo(build("nothing")) as d:
        r = subprocess.run(f"{WHYRSS} {d.pid} --all | head -c 10", shell=True, capture_output=True, text=True, timeout=30)
        assert r.stderr == ""


def test_rights_are_dropped():
    """A reading view gives up what it does not need: seen from outside while it waits for a reader of its answer."""
    with Demo(build("nothing")) as d:
        r, w = os.pipe()
        fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, 4096)
        with subprocess.Popen([WHYRSS, "maps", str(d.pid), "--json", "--all"], stdout=w, stdin=subprocess.DEVNULL) as p:
            os.close(w)
            try:
                status, end = "", time.monotonic() + 20
                while time.monotonic() < end and p.poll() is None:
                    with open(f"/proc/{p.pid}/wchan", encoding="ascii") as f:
                        waits = "pipe" in f.read()
                    with open(f"/proc/{p.pid}/status", encoding="utf-8") as f:
                        status = f.read()
                    if waits or "Seccomp:\t2" in status:
                        break
                    time.sleep(0.005)
                assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status, status
                left = int(next(x for x in status.splitlines() if x.startswith("CapPrm")).split()[1], 16)
                assert not left & ~(1 << 2 | 1 << 19 | 1 << 40), hex(left)
            finally:
                with os.fdopen(r, "rb") as f:
                    got = f.read()
            assert p.wait(20) == 0 and json.loads(got)["schema"] == "whyrss.maps/1"


def test_a_profile_as_target(tmp_path):
    """A profile alone is answered with its top table; what is none is told so."""
    with Demo(build("mixed"), ["-grow", "32"]) as d:
        whyrss("profile", d.pid, "-o", tmp_path / "heap.pb.gz")
    code, out, _ = whyrss(tmp_path / "heap.pb.gz")
    assert code == 0 and "Type: inuse_space" in out and "flat%" in out
    assert whyrss("top", tmp_path / "heap.pb.gz")[1] == out == whyrss("pprof", "-top", tmp_path / "heap.pb.gz")[1]
    (tmp_path / "notes.txt").write_text("no profile\n")
    code, _, err = whyrss(tmp_path / "notes.txt", check=False)
    assert code == 1 and err.count("\n") == 1 and "no core, capture or profile" in err
    assert whyrss("memstats", tmp_path / "heap.pb.gz", check=False)[0] == 1
    code, _, err = whyrss("memstats", "https://example.com/debug/pprof/heap", check=False)
    assert code == 1 and "a URL gives a profile" in err
