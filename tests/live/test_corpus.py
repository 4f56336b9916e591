"""Real programs that nobody here wrote, started on loopback, grown and shrunk (corpus.sh)."""
import json
import os
import pathlib
import subprocess
import urllib.request

import pytest
from conftest import ROOT, lines, ledger, view
from demos import parse_heap_txt
from test_stripped import compare

CORPUS = ROOT / "tests/live/corpus.sh"
HOME = pathlib.Path(os.environ.get("ROOT", "/tmp/corpus"))
# The short form builds only what compiles quickly; a program that is there already is always used.
PROGRAMS = [("etcd", False), ("caddy", True), ("pebble", False), ("hugo", True), ("prometheus", True),
            # release builds: our own -s -w, one whose makers strip it, and what Debian serves
            ("etcd-stripped", True), ("caddy-stripped", True), ("pebble-stripped", True), ("nats-server", True), ("prometheus-debian", True)]


def corpus(action, name, timeout=600, **env):
    r = subprocess.run(["bash", str(CORPUS), action, name], capture_output=True, text=True, timeout=timeout,
                       env={**os.environ, **{k: v for k, v in env.items() if v}}, stdin=subprocess.DEVNULL)
    assert r.returncode == 0, f"{action} {name}: {r.stdout[-500:]} {r.stderr[-1500:]}"
    return r.stdout.split()


@pytest.fixture(scope="module")
def program(request):
    name, _ = request.param
    # etcd is shrunk by its client
    for part in (name, "etcdctl") if name.startswith("etcd") else (name,):
        if not (HOME / "bin" / part).exists():
            corpus("build", part, timeout=1500)
    pid, pprof = corpus("up", name)[:2]
    yield name, int(pid), pprof
    corpus("down", name)


@pytest.mark.parametrize("program", [pytest.param(p, id=p[0], marks=pytest.mark.full if p[1] else ()) for p in PROGRAMS], indirect=True)
class TestProgram:
    def check(self, name, pid, moment):
        d = ledger(pid)
        line = lines(d)
        rss = d["os"]["rss"]
        assert line["unexplained"]["resident"] < 0.005 * rss, (name, moment, line["unexplained"], rss)
        assert d["causes"] and d["causes"][0]["evidence"], (name, moment)
        print(name, moment, f"rss {rss >> 20} MiB, profile {d['profile']['inuse_space'] >> 20}, unexplained",
              line["unexplained"]["resident"], [(c["id"], c["bytes"] >> 20) for c in d["causes"][:3]])
        return d

    def inside(self, pprof):
        with urllib.request.urlopen(f"http://{pprof}/debug/pprof/heap?debug=1", timeout=20) as f:
            return f.read().decode(errors="replace")

    def test_idle(self, program):
        name, pid, pprof = program
        self.check(name, pid, "idle")
        if pprof == "-":
            return
        # Its own profile and MemStats, between two of ours: the profile is the same record for record while it is quiet.
        before = ledger(pid)
        text = self.inside(pprof)
        after = ledger(pid)
        got = parse_heap_txt(text)
        between = sorted((before["profile"]["inuse_space"], after["profile"]["inuse_space"]))
        assert between[0] * 0.999 - 4096 <= got["inuse_space"] <= between[1] * 1.001 + 4096

    def test_grown(self, program):
        name, pid, pprof = program
        corpus("grow", name, N={"etcd": "20000", "caddy": "200", "hugo": "1000"}.get(name.removesuffix("-stripped"), ""))
        d = self.check(name, pid, "grown")
        # the very process once more, as if its file had no symbols
        for v, diff, _ in compare(pid) if not d["target"]["stripped"] else ():
            assert not diff, (name, v, diff[:8])
        for v in ("memstats", "spans", "goroutines", "maps"):
            assert view(v, pid)
        if pprof != "-":
            ms = view("memstats", pid)
            text = self.inside(pprof)
            want = {k: int(v) for k, v in (x[2:].split(" = ") for x in text.splitlines()
                                           if x.startswith(("# NumGC =", "# TotalAlloc =", "# Sys =", "# NextGC =", "# BuckHashSys =")))}
            assert abs(ms["Sys"] - want["Sys"]) <= 0.03 * want["Sys"]
            assert abs(ms["TotalAlloc"] - want["TotalAlloc"]) <= 0.02 * want["TotalAlloc"] + (32 << 20)

    def test_shrunk(self, program):
        name, pid, _ = program
        corpus("shrink", name)
        self.check(name, pid, "shrunk")

    def test_json_is_one_document(self, program):
        _, pid, _ = program
        assert json.loads(json.dumps(view("maps", pid)))


def loaded(name):
    """A program after a load and two forced GCs: what does not depend on the moment."""
    for part in (name, "etcdctl") if name.startswith("etcd") else (name,):
        if not (HOME / "bin" / part).exists():
            corpus("build", part, timeout=1500)
    pid, pprof = corpus("up", name)[:2]
    try:
        corpus("grow", name, N={"etcd": "20000", "caddy": "200"}[name.removesuffix("-stripped")])
        for _ in range(2):  # the second one publishes what the first one found
            with urllib.request.urlopen(f"http://{pprof}/debug/pprof/heap?gc=1&debug=1", timeout=60) as f:
                f.read()
        d = ledger(int(pid))
        return d, sum(g["count"] for g in view("goroutines", int(pid))["groups"])
    finally:
        corpus("down", name)


@pytest.mark.full
@pytest.mark.parametrize("name", ["etcd", "caddy"])
def test_twins(name):
    """The same source with and without -s -w, under the same load: the same numbers, as far as the load is the same."""
    (a, ga), (b, gb) = loaded(name), loaded(name + "-stripped")
    assert a["target"]["stripped"] is False and b["target"]["stripped"] is True
    la, lb = lines(a), lines(b)
    for d, x in ((a, la), (b, lb)):
        assert x["unexplained"]["resident"] < 0.005 * d["os"]["rss"]
    # a sampled profile of the same heap, and what the collector marked: the load's own noise is a few percent
    for what, x, y, slack in (("live", la["heap.live"]["bytes"], lb["heap.live"]["bytes"], 4 << 20),
                              ("profile", a["profile"]["inuse_space"], b["profile"]["inuse_space"], 8 << 20),
                              ("mspan", la["runtime.mspan"]["bytes"], lb["runtime.mspan"]["bytes"], 2 << 20),
                              ("data", la["binary.data"]["bytes"], lb["binary.data"]["bytes"], 64 << 10),
                              ("goroutines", ga, gb, 30)):
        print(name, what, x, y)
        assert abs(x - y) <= 0.15 * max(x, y) + slack, (name, what, x, y)
