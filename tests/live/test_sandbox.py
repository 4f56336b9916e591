"""Every command gives up the rights that it does not need: at its end, each tries what it must not do.

A library that is preloaded into whyrss tries it when the program exits, inside the filter that the command has put on itself, and says what
was possible. That the same library can do all of it without the filter is tested first. What commands do need is what the other tests use.
"""
import contextlib
import http.server
import os
import signal
import subprocess
import threading
import time

import pytest
from conftest import WHYRSS, whyrss
from demos import Demo, build

PROBE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int forks(void)
{
	pid_t p = fork();
	if (p == 0)
		_exit(0);
	return p > 0 && (waitpid(p, NULL, 0), 1);
}

__attribute__((destructor)) static void probe(void)
{
	char line[200];
	int n, victim = atoi(getenv("PROBE_PID"));
	n = snprintf(line, sizeof(line), "%s%s%s%s%s%s\n",
		     socket(AF_INET, SOCK_STREAM, 0) >= 0 ? "net " : "",
		     open(getenv("PROBE_FILE"), O_WRONLY | O_CREAT, 0600) >= 0 ? "write " : "",
		     forks() ? "run " : "",
		     kill(victim, 0) == 0 ? "kill " : "",
		     ptrace(PTRACE_SEIZE, victim, 0, 0) == 0 ? "ptrace " : "",
		     mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED ? "code " : "");
	n = write(atoi(getenv("PROBE_FD")), line, n);
}
"""


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    d = tmp_path_factory.mktemp("probe")
    (d / "probe.c").write_text(PROBE)
    subprocess.run(["cc", "-w", "-shared", "-fPIC", "-o", d / "probe.so", d / "probe.c"], check=True)
    victim = subprocess.Popen(["sleep", "1000"])
    yield d, victim.pid
    victim.kill()
    victim.wait()


@contextlib.contextmanager
def started(probe, *args, program=WHYRSS, **kw):
    """A command with the probe in it; its `can()` waits for the end and tells what was possible then."""
    d, victim = probe
    r, w = os.pipe()
    env = dict(os.environ, LD_PRELOAD=str(d / "probe.so"), PROBE_FD=str(w), PROBE_PID=str(victim), PROBE_FILE=str(d / "made"))
    p = subprocess.Popen([program, *map(str, args)], env=env, pass_fds=[w], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         **{"stdin": subprocess.DEVNULL, **kw})
    os.close(w)

    def can(codes=(0, 3)):
        out, err = p.communicate(timeout=60)
        assert p.returncode in codes, (p.returncode, err)
        with os.fdopen(r, "rb", closefd=False) as f:
            said = f.read().decode().split("\n")
        return set(said[0].split()), out, err
    try:
        yield p, can
    finally:
        if p.poll() is None:
            p.kill()
            p.wait()
        os.close(r)


def status(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.split(":\t", 1) for line in f.read().splitlines())


def wait_filter(p):
    """Waits until the filter is there; that it is at all is what it is about."""
    end = time.time() + 30
    while status(p.pid)["Seccomp"].strip() != "2":
        assert p.poll() is None and time.time() < end
        time.sleep(0.02)
    assert status(p.pid)["NoNewPrivs"].strip() == "1"


def test_the_probe_can_do_all(probe):
    with started(probe, program="/bin/true") as (_, can):
        got, _, _ = can()
    assert got >= {"net", "write", "run", "kill", "code"}  # a container may forbid ptrace


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One of each kind that is read."""
    d = tmp_path_factory.mktemp("files")
    with Demo(build("nothing")) as demo:
        whyrss("profile", demo.pid, "-o", d / "p.pb.gz")
        whyrss("capture", demo.pid, "-o", d / "c.whyrss")
        whyrss("record", demo.pid, "-o", d / "r.db", "--duration", "2s")
        (d / "gc.log").write_text("gc 1 @0.019s 4%: 0.017+0.49+0.004 ms clock, 0.035+0.31/0.31/0.065+0.009 ms cpu, 4->4->0 MB, 4 MB goal, "
                                  "0 MB stacks, 0 MB globals, 2 P\n")
        yield d, demo.pid


READS = [("ledger", "PID"), ("memstats", "PID"), ("spans", "PID"), ("goroutines", "PID"), ("maps", "PID"), ("diff", "DIR/c.whyrss", "PID"),
         (), ("ledger", "DIR/c.whyrss"), ("core", "DIR/c.whyrss"), ("check", "PID", "-e", "rss>1"), ("top", "PID"), ("top", "DIR/p.pb.gz"),
         ("DIR/p.pb.gz",), ("gctrace", "DIR/gc.log"), ("what-if", "PID", "--gogc", "50", "--duration", "1s"), ("live", "PID", "-d", "1s"),
         ("pprof", "-top", "DIR/p.pb.gz"), ("pprof", "-tree", "PID"), ("pprof", "-raw", "DIR/c.whyrss"), ("help",)]
WRITES = [("profile", "PID", "-o", "DIR/o.pb.gz"), ("capture", "PID", "-o", "DIR/o.whyrss"), ("record", "PID", "-o", "DIR/o.db", "-d", "1s"),
          ("gctrace", "DIR/gc.log", "-o", "DIR/g.db"), ("check", "PID", "-e", "rss>1", "--junit", "DIR/j.xml"), ("report", "PID", "-o", "DIR/o.html"),
          ("watch", "PID", "--at", "1MiB", "--once", "-o", "DIR/w.whyrss"), ("what-if", "DIR/r.db", "--gogc", "50"), ("top", "DIR/r.db"),
          ("ledger", "DIR/r.db"), ("pprof", "-top", "-output=DIR/top.txt", "DIR/p.pb.gz")]
RUNS = [("pprof", "-svg", "DIR/p.pb.gz")]


@pytest.mark.parametrize(("rights", "args"), [*((set(), a) for a in READS), *(({"write"}, a) for a in WRITES), *(({"run"}, a) for a in RUNS)],
                         ids=lambda x: " ".join(x)[:40] if isinstance(x, tuple) else None)
def test_command(probe, files, rights, args):
    d, pid = files
    with started(probe, *(a.replace("DIR", str(d)).replace("PID", str(pid)) for a in args)) as (_, can):
        got, out, err = can((0, 1, 3))  # a forecast of a program that never collects is an error, too
    assert got == rights, (got, err)
    if args[0:1] == ("pprof",) and "write" not in rights:
        assert out, err
    if rights == {"run"}:
        assert b"</svg>" in out, err


def test_freeze_may_trace_and_nothing_else(probe, files):
    with started(probe, "ledger", files[1], "--freeze") as (_, can):
        assert can()[0] <= {"ptrace"}


def test_run(probe, files, tmp_path):
    """It starts its program first; that one has all rights."""
    with started(probe, "run", "-o", tmp_path / "x.db", "--", build("nothing")) as (p, can):
        wait_filter(p)
        child = int(open(f"/proc/{p.pid}/task/{p.pid}/children").read().split()[0])
        assert status(child)["Seccomp"].strip() == "0" and status(child)["NoNewPrivs"].strip() == "0"
        time.sleep(1)
        p.send_signal(signal.SIGTERM)  # is passed on
        got, _, err = can((128 + signal.SIGTERM, 0, 1))
    assert got == {"write"}, err


@pytest.mark.parametrize("args", [("record", "PID", "-o", "DIR/k.db"), ("watch", "PID", "--at", "100GiB"), ("live", "PID"), ("gctrace",),
                                  ("serve", "--listen", "127.0.0.1:0")], ids=lambda a: a[0])
def test_while_it_runs(probe, files, args):
    d, pid = files
    with started(probe, *(a.replace("DIR", str(d)).replace("PID", str(pid)) for a in args), stdin=subprocess.PIPE) as (p, _):
        wait_filter(p)
        caps = int(status(p.pid)["CapPrm"], 16)
        if args[0] in ("live", "gctrace"):
            assert caps & ~(1 << 19 | 1 << 2 | 1 << 40) == 0  # SYS_PTRACE, DAC_READ_SEARCH, CHECKPOINT_RESTORE


def test_url(probe, files, tmp_path):
    """Profiles come over the net; what came is kept in a file."""
    data = (files[0] / "p.pb.gz").read_bytes()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ["PPROF_TMPDIR"] = str(tmp_path)
    try:
        url = f"http://127.0.0.1:{server.server_port}/debug/pprof/heap"
        for args in ((url,), ("pprof", "-top", url)):
            with started(probe, *args) as (_, can):
                got, out, err = can()
            assert b"flat%" in out and b"Saved profile" in err, err
            assert got == {"net", "write", "code"}
    finally:
        del os.environ["PPROF_TMPDIR"]
        server.shutdown()
        server.server_close()


def test_a_profile_does_not_command_the_terminal(tmp_path):
    """Names of a profile go to a pipe as they are, as google/pprof has them, and to a terminal without what it would obey."""
    evil = "\x1b]0;pwned\x07\x1b[31mname"
    def field(n, body):
        return bytes([n << 3 | 2, len(body)]) + body

    p = field(1, b"\x08\x01\x10\x02") + field(2, b"\x0a\x01\x01\x12\x01\x07") + field(4, b"\x08\x01" + field(4, b"\x08\x01"))
    p += field(5, b"\x08\x01\x10\x03") + b"".join(field(6, s.encode()) for s in ("", "space", "bytes", evil))
    (tmp_path / "p.pb").write_bytes(p)
    for args in (["pprof", "-top"], ["pprof", "-traces"], ["top"], []):
        argv = [WHYRSS, *args, str(tmp_path / "p.pb")]
        piped = subprocess.run(argv, capture_output=True, timeout=60, check=False)
        assert evil.encode() in piped.stdout, (args, piped)
        main, child = os.openpty()
        shown = b""
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=child, stderr=child) as q:
            os.close(child)
            with contextlib.suppress(OSError):  # the end of it
                while piece := os.read(main, 65536):
                    shown += piece
            assert q.wait(60) == 0
        os.close(main)
        assert b"?[31mname" in shown and b"\x1b]" not in shown and b"\x07" not in shown, (args, shown)
