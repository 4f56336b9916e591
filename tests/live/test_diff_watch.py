"""What changed between two targets, and captures that are taken when a process has grown."""
import json
import os
import signal
import subprocess
import time

import pytest
from conftest import BRIDGE, LINES, WHYRSS, ledger, lines, view, whyrss
from demos import Demo, build
from test_capture import capture
from test_container import container  # noqa: F401: a fixture
from test_core import stopped


def diff(a, b, *args):
    _, out, _ = whyrss("diff", a, b, "--json", *args)
    return json.loads(out)


def test_diff_adds_up(tmp_path):
    with Demo(build("nothing")) as a, Demo(build("fragmentation")) as b:
        with stopped(a.pid), stopped(b.pid):
            one, two = ledger(a.pid), ledger(b.pid)
            got = diff(a.pid, b.pid)
            capture(a.pid, tmp_path / "a.whyrss")
            capture(b.pid, tmp_path / "b.whyrss")
            spans = [view("spans", p) for p in (a.pid, b.pid)]
    assert got["schema"] == "whyrss.diff/1"
    assert [x["id"] for x in got["lines"]] == LINES and [x["id"] for x in got["bridge"]] == BRIDGE
    was, now = lines(one), lines(two)
    for x in got["lines"]:
        assert x["a_bytes"] == was[x["id"]]["bytes"] and x["b_bytes"] == now[x["id"]]["bytes"]
        assert x["bytes"] == x["b_bytes"] - x["a_bytes"] and x["resident"] == x["b_resident"] - x["a_resident"]
    rss = two["os"]["rss"] - one["os"]["rss"]
    assert got["os"]["rss"]["delta"] == rss == sum(x["resident"] for x in got["lines"])
    assert sum(x["delta"] for x in got["bridge"] if x["id"] != "rss") == rss
    # sites add up to the profile, but for the rounding of each
    space = sum(x["space"] for x in got["sites"])
    assert abs(space - got["profile"]["inuse_space"]["delta"]) <= 2 * len(got["sites"]) + 2
    assert got["sites"][0]["func"] == "main.main" and got["causes"][0]["id"] == "fragmentation"
    assert got["spans"] and all(x["bytes"] == x["b_bytes"] - x["a_bytes"] for x in got["spans"])
    assert spans[0]["schema"] == "whyrss.spans/1"
    # captures give the same, whatever became of the processes
    same = diff(tmp_path / "a.whyrss", tmp_path / "b.whyrss")
    for k in ("lines", "bridge", "sites", "spans", "os", "profile"):
        assert same[k] == got[k], k
    _, text, _ = whyrss("diff", tmp_path / "a.whyrss", tmp_path / "b.whyrss")
    assert "RSS grew by" in text and "holes between objects" in text
    none = diff(tmp_path / "a.whyrss", tmp_path / "a.whyrss")
    assert all(x["bytes"] == 0 for x in none["lines"]) and all(x["space"] == 0 for x in none["sites"])


def test_diff_usage(tmp_path):
    for words in ((), ("1",), ("1", "2", "3")):
        assert whyrss("diff", *words, check=False)[0] == 2
    assert whyrss("diff", "/no/such", "/no/file", check=False)[0] == 1


def watch(*args, **kw):
    return subprocess.Popen([WHYRSS, "watch", *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw)


def test_watch_by_rss(tmp_path):
    with Demo(build("fragmentation")) as d:
        # it is there already
        w = watch(d.pid, "--at", "64MiB", "--once", "--json", "-o", tmp_path / "x.whyrss")
        out, err = w.communicate(timeout=60)
        assert w.returncode == 0, err
        assert json.loads(out)["file"] == str(tmp_path / "x.whyrss")
        assert view("ledger", tmp_path / "x.whyrss")["target"]["pid"] == d.pid
        # it never gets there, and ends
        w = watch(d.pid, "--at", "100GiB")
        time.sleep(0.3)
        assert w.poll() is None
    out, err = w.communicate(timeout=60)
    assert w.returncode == 1 and "has ended" in err and "nothing was captured" in err and len(err.splitlines()) == 1, err


def test_watch_ends_on_a_signal():
    with Demo(build("nothing")) as d:
        w = watch(d.pid, "--at", "100GiB")
        # until it takes signals itself: its mask says so
        end = time.monotonic() + 20
        while time.monotonic() < end:
            status = open(f"/proc/{w.pid}/status").read()
            mask = int(next(x for x in status.splitlines() if x.startswith("SigBlk")).split()[1], 16)
            if mask >> (signal.SIGTERM - 1) & 1:
                break
            time.sleep(0.02)
        w.send_signal(signal.SIGTERM)
        _, err = w.communicate(timeout=60)
        assert w.returncode == 1 and "nothing was captured" in err


def test_watch_usage(tmp_path):
    with Demo(build("nothing")) as d:
        for at in ("much", "0", "120%", "-5%", "%"):
            assert whyrss("watch", d.pid, "--at", at, check=False)[0] == 2, at
    assert whyrss("watch", check=False)[0] == 2


def test_before_the_oom_kill(container, tmp_path):  # noqa: F811
    """A program that outgrows a real cgroup's limit of 1 GiB is killed, and its capture is there."""
    file = tmp_path / "oom.whyrss"
    with Demo(container(build("nothing"))) as d:
        home = ledger(d.pid)["cgroup"]["path"]
        assert "whyrss-test" in home
        w = watch(d.pid, "--at", "90%", "--once", "--json", "-o", file)
        time.sleep(0.5)
        assert w.poll() is None and not file.exists()
        # another process of the same cgroup fills it: what the limit counts is the cgroup
        procs = next(p for p in (f"/sys/fs/cgroup/memory{home}/cgroup.procs", f"/sys/fs/cgroup{home}/cgroup.procs") if os.path.exists(p))
        eat = subprocess.Popen(["/bin/sh", "-c", f"echo $$ > {procs}; exec python3 -c '"
                                "import time\n"
                                "v = []\n"
                                "while True:\n"
                                "    v.append(bytearray(b\"x\") * (4 << 20)); time.sleep(0.01)\n'"])
        try:
            out, err = w.communicate(timeout=90)
        finally:
            eat.wait(60)
        assert eat.returncode == -signal.SIGKILL  # the kernel's: nobody else sends it
        assert w.returncode == 0, err
        got = view("ledger", file)
        assert got["target"]["pid"] == d.pid
        assert got["cgroup"]["limit"] == 1 << 30
        assert 0.88 * (1 << 30) <= got["cgroup"]["current"] <= 1 << 30, got["cgroup"]
        assert json.loads(out)["stopped_ms"] == 0
