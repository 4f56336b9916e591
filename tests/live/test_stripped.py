"""Programs without a symbol table: each of the runtime's variables against the symbol that strip(1) takes away, and
every number against the same process read with its symbols."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest
from conftest import WHYRSS, ledger, lines, view, whyrss
from demos import CACHE, ROOT, Demo, build, go_version

BUILD = pathlib.Path(WHYRSS).resolve().parent
SHORT = ["go1.18.10", "go1.21.13", "local", "go1.27.4"]
ALL = ["go1.18.10", "go1.19.13", "go1.20.14", "go1.21.13", "go1.22.12", "go1.23.12", "go1.24.13", "go1.25.10", "local", "go1.27.4"]


def env_of(go, cgo):
    env = {**os.environ, "GOTOOLCHAIN": go, "GOFLAGS": "-buildvcs=false", "CGO_ENABLED": "1" if cgo else "0", "GOWORK": "off"}
    if go.startswith("go1.19"):
        env["GODEBUG"] = "goindex=0"  # its package index fails on a GOROOT inside a module cache
    return env


# A program that uses what the runtime keeps: the demos need 1.21, and the oldest releases are to be read as well.
PROBE = (pathlib.Path(ROOT) / "tools/build-probes.sh").read_text(encoding="utf-8").split("<<'GO'\n", 1)[1].split("\nGO\n", 1)[0] + "\n"

SHAPES = {
    "plain": ([], False),
    "trimpath": (["-trimpath"], False),
    "pie": (["-buildmode=pie"], False),
    "sw": (["-ldflags=-s -w"], False),
    "pie-sw": (["-buildmode=pie", "-ldflags=-s -w"], False),
    "external": (["-ldflags=-linkmode=external"], True),
    "external-pie": (["-buildmode=pie", "-ldflags=-linkmode=external"], True),
}


@pytest.fixture(scope="session")
def globals_tool():
    subprocess.run(["ninja", "-C", str(BUILD), "--quiet", "tests/unit/globals"], check=True, timeout=1200, stdout=subprocess.DEVNULL)
    return str(BUILD / "tests/unit/globals")


@pytest.fixture(scope="session")
def probes(tmp_path_factory):
    root = tmp_path_factory.mktemp("probes")

    def get(go, shape):
        flags, cgo = SHAPES[shape]
        d = root / f"{go}-{shape}"
        if not d.exists():
            d.mkdir()
            (d / "main.go").write_text(PROBE)
            (d / "go.mod").write_text("module probe\n\ngo %s\n" % ".".join(go_version(go)[2:].split(".")[:2]))
            cmd = ["go", "build", "-p", "2", *flags, "-o", "probe", "."]
            subprocess.run(cmd, cwd=d, env=env_of(go, cgo), check=True, timeout=600, capture_output=True)
        return d / "probe"

    return get


class Run:
    """A program that says "ready" and waits for the end of its standard input."""

    def __init__(self, argv, **kw):
        self.p = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **kw)

    def __enter__(self):
        assert self.p.stdout.readline().startswith("ready")
        self.pid = self.p.pid
        return self

    def __exit__(self, *_):
        try:
            os.kill(self.p.pid, signal.SIGCONT)
            self.p.stdin.close()
            self.p.wait(20)
        except (subprocess.TimeoutExpired, OSError):
            self.p.kill()
            self.p.wait()


def found(tool, pid):
    r = subprocess.run([tool, str(pid)], capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout)


def symbols_of(path):
    """The symbol table of a file: name → address."""
    out = subprocess.run(["nm", str(path)], capture_output=True, text=True, check=True).stdout
    return {x[2]: int(x[0], 16) for x in (line.split() for line in out.splitlines()) if len(x) == 3}


def check_found(d, where):
    """Each variable that the release has, and none that it has not."""
    minor = int(d["go"].split(".")[1])
    for name, v in d["symbols"].items():
        if v["symbol"]:
            assert v["believed"] == v["symbol"], (where, name, v)
            # Neither way alone says a wrong address: an opinion is right, or there is none.
            assert v["scan"] in (0, v["symbol"]) and v["code"] in (0, v["symbol"]), (where, name, v)
        else:
            assert v["believed"] == 0, (where, name, v)
        assert v["how"] == ("not" if minor < v["since"] or not v["symbol"] else v["how"]), (where, name, v)
    hows = [v["how"] for v in d["symbols"].values()]
    assert hows.count("both") >= 14, (where, hows)


@pytest.mark.parametrize("shape", ["plain", "pie", "external", pytest.param("trimpath", marks=pytest.mark.full),
                                   pytest.param("external-pie", marks=pytest.mark.full)])
@pytest.mark.parametrize("go", [pytest.param(g, marks=() if g in SHORT else pytest.mark.full) for g in ALL])
def test_every_variable(globals_tool, probes, go, shape):
    """The process with its symbols says what is right; the same process as if there were none."""
    exe = probes(go, shape)
    with Run([exe]) as p:
        check_found(found(globals_tool, p.pid), (go, shape))


@pytest.mark.parametrize("go", [pytest.param(g, marks=() if g in SHORT else pytest.mark.full) for g in ALL])
def test_strip_and_section_headers(globals_tool, probes, tmp_path, go):
    """strip(1) leaves the addresses alone, so that the unstripped twin's symbols say what is right; then the section
    headers are taken away too."""
    exe = probes(go, "plain")
    names = symbols_of(exe)
    stripped = tmp_path / "stripped"
    subprocess.run(["strip", "-o", str(stripped), str(exe)], check=True)
    bare = tmp_path / "bare"
    data = bytearray(stripped.read_bytes())
    data[40:48] = bytes(8)  # e_shoff
    data[60:64] = bytes(4)  # e_shnum, e_shstrndx
    bare.write_bytes(data)
    bare.chmod(0o755)
    ids = dict(symbol_names())
    for path in (stripped, bare):
        with Run([path]) as p:
            d = found(globals_tool, p.pid)
            assert all(v["symbol"] == 0 for v in d["symbols"].values())
            for name, v in d["symbols"].items():
                want = next((names[n] for n in ids[name] if n in names), 0)
                assert v["believed"] == want, (go, path.name, name, v, want)


def symbol_names():
    """symbols.def: (id, names)."""
    text = (pathlib.Path(ROOT) / "src/goruntime/symbols.def").read_text(encoding="utf-8")
    return [(m[0], m[1].split("|")) for m in re.findall(r'^SYMBOL\((\w+), "([^"]*)", \w+\)', text, re.M)]


@pytest.mark.parametrize("shape", ["sw", pytest.param("pie-sw", marks=pytest.mark.full)])
@pytest.mark.parametrize("go", [pytest.param(g, marks=() if g in ("go1.18.10", "local") else pytest.mark.full) for g in ALL])
def test_linked_without(globals_tool, probes, go, shape):
    """-s -w moves addresses, so here the variables are held against those of the same section in an unstripped twin."""
    twin = probes(go, "pie" if shape.startswith("pie") else "plain")
    exe = probes(go, shape)
    ids, names = dict(symbol_names()), symbols_of(twin)

    def sections(path):
        out = subprocess.run(["readelf", "-SW", str(path)], capture_output=True, text=True, check=True).stdout
        rows = [line.replace("[ ", "[").split() for line in out.splitlines()]
        return [(r[1], int(r[3], 16), int(r[5], 16)) for r in rows if len(r) > 6 and r[0].startswith("[") and r[1].startswith(".")]

    def lowest(path):
        out = subprocess.run(["readelf", "-lW", str(path)], capture_output=True, text=True, check=True).stdout
        return min(int(x.split()[2], 16) for x in out.splitlines() if x.split()[:1] == ["LOAD"])

    at = {n: a for n, a, _ in sections(exe)}
    with Run([exe]) as p:
        d = found(globals_tool, p.pid)
        base = 0
        if shape.startswith("pie"):
            for line in open(f"/proc/{p.pid}/maps", encoding="utf-8"):
                if line.rstrip().endswith("/probe"):
                    base = int(line.split("-")[0], 16) - lowest(exe)  # Go's own linker begins at 4 MiB there too
                    break
        for name, v in d["symbols"].items():
            addr = next((names[n] for n in ids[name] if n in names), 0)
            want = 0
            for n, a, size in sections(twin):
                if a and a <= addr < a + size:
                    want = addr - a + at[n] + base
            assert v["believed"] == want, (go, shape, name, v, want)


# Words of an evidence that tell how long ago something was, or what the whole container has meanwhile.
CLOCKS = r"[\d.,]+ (ns|µs|ms|s|min|h|d)( [\d.,]+ (s|min|h))? ago|the longest for .*|the container counts .*"

# What moves between two readings of a process that stands still: what the reading itself makes.
VOLATILE = {"read", "notes", "up_ns", "took_ms"}


def same(a, b, path=""):
    """The differences of two answers about one stopped process."""
    if isinstance(a, dict) and isinstance(b, dict):
        out = []
        for k in sorted(set(a) | set(b)):
            if k not in VOLATILE:
                out += same(a.get(k), b.get(k), f"{path}/{k}")
        return out
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [x for i, (p, q) in enumerate(zip(a, b)) for x in same(p, q, f"{path}/{i}")]
    if isinstance(a, str) and isinstance(b, str):
        a, b = (re.sub(CLOCKS, "…", x) for x in (a, b))
    return [] if a == b else [(path, a, b)]


# Times that go on, and the cgroup, which is the whole machine's.
IGNORE = ("/target/up", "/target/stripped", "/cgroup", "/container", "/os/machine", "longest_wait_ns")


def stopped(pid):
    states = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        states.append((task / "stat").read_text(errors="replace").rsplit(")", 1)[1].split()[0])
    return set(states) == {"T"}


def compare(pid, views=("ledger", "memstats", "spans", "goroutines", "maps")):
    os.kill(pid, signal.SIGSTOP)
    try:
        while not stopped(pid):  # each of its threads stops when it next looks
            pass
        for name in views:
            with_symbols = view(name, pid)
            without = view(name, pid, env={**os.environ, "WHYRSS_HIDE_SYMBOLS": "1"})
            diff = [d for d in same(with_symbols, without) if not any(i in d[0] for i in IGNORE)]
            yield name, diff, without
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("go", [pytest.param(g, marks=() if g in ("go1.21.13", "local") else pytest.mark.full) for g in ALL if g not in ALL[:3]])
@pytest.mark.parametrize("name", ["fragmentation", pytest.param("mixed", marks=pytest.mark.full), pytest.param("pool", marks=pytest.mark.full),
                                  pytest.param("leakedgoroutines", marks=pytest.mark.full), pytest.param("tour", marks=pytest.mark.full)])
def test_same_numbers(name, go):
    with Demo(build(name, go)) as d:
        for v, diff, without in compare(d.pid):
            assert not diff, (name, go, v, diff[:8])
            if v == "ledger":
                assert any("no symbol table" in n for n in without["notes"]), without["notes"]


@pytest.mark.parametrize("go", [pytest.param(g, marks=() if g == "go1.18.10" else pytest.mark.full) for g in ALL[:3]])
def test_same_numbers_in_the_oldest(probes, go):
    with Run([probes(go, "plain")]) as p:
        for v, diff, _ in compare(p.pid):
            assert not diff, (go, v, diff[:8])


def test_a_stripped_program_is_explained(tmp_path):
    """From the outside: the stripped file of a demo, found by name, with its cause."""
    exe = tmp_path / "fragmentation"
    subprocess.run(["strip", "-o", str(exe), build("fragmentation")], check=True)
    with Demo(str(exe)) as d:
        got = ledger(d.pid)
        assert got["target"]["stripped"] is True
        assert got["causes"][0]["id"] == "fragmentation"
        assert lines(got)["unexplained"]["resident"] < 0.005 * got["os"]["rss"]
        assert view("goroutines", d.pid)
        _, out, _ = whyrss()
        assert str(d.pid) in out


def test_unknown_release_without_anything(tmp_path):
    """No record, no DWARF, no symbols: the nearest record, all invariants, and how sure that is."""
    exe = tmp_path / "fragmentation"
    shutil.copy(build("fragmentation", flags=["-ldflags=-X=runtime.buildVersion=go1.99.1 -s -w"]), exe)
    with Demo(str(exe)) as d:
        got = ledger(d.pid)
        said = [n for n in got["notes"] if "no recorded layout" in n]
        assert said and "invariants of" in said[0], got["notes"]
        hold, of = said[0].split("invariants of ")[1].split()[0::2][:2]
        assert int(hold) == int(of) > 35
        assert got["causes"][0]["id"] == "fragmentation"


def test_unknown_release_that_does_not_fit(tmp_path):
    """An old program that claims a far newer release, stripped: one sentence that names what could not be found."""
    exe = tmp_path / "nothing"
    shutil.copy(build("nothing", "go1.21.13", flags=["-ldflags=-X=runtime.buildVersion=go1.99.1 -s -w"]), exe)
    with Demo(str(exe)) as d:
        code, out, err = whyrss(d.pid, check=False)
        assert code == 1 and out == "" and len(err.strip().splitlines()) == 1
        assert "could not be found" in err and "mheap" in err, err


def read_without_release(d):
    """Numbers that hold whatever the release is."""
    got = ledger(d.pid)
    assert any("does not say which Go release" in n for n in got["notes"]), got["notes"]
    assert got["causes"][0]["id"] == "fragmentation"
    assert lines(got)["unexplained"]["resident"] < 0.005 * got["os"]["rss"]
    want = d.ready["expect"]["heap.live"]
    live = lines(got)["heap.live"]["bytes"] + lines(got)["heap.new"]["bytes"]
    assert abs(live - want) < 0.1 * want + (2 << 20), (live, want)
    assert view("memstats", d.pid)["HeapInuse"] > want


@pytest.mark.parametrize("go", [pytest.param(g, marks=() if g == "local" else pytest.mark.full) for g in ALL[3:]])
def test_no_release(go):
    """A program that does not say what built it: the record by which most is found."""
    with Demo(build("fragmentation", go, flags=["-ldflags=-X=runtime.buildVersion=unknown -s -w"])) as d:
        read_without_release(d)


@pytest.mark.full
@pytest.mark.parametrize("mode", ["", "-literals", "-tiny"])
def test_obfuscated(tmp_path, mode):
    """garble takes the release, the names of functions and, with -tiny, what it can of the rest."""
    tools = pathlib.Path(CACHE) / "garble"
    env = {**env_of("local", False), "GOBIN": str(tools), "PATH": f"{tools}:{os.environ['PATH']}"}
    if not (tools / "garble").exists():
        subprocess.run(["go", "install", "mvdan.cc/garble@v0.16.0"], env=env, check=True, timeout=600, capture_output=True)
    exe = tmp_path / "program"
    subprocess.run(["garble", *mode.split(), "build", "-o", exe, "./fragmentation"], cwd=f"{ROOT}/demo", env=env, check=True, timeout=1200,
                   capture_output=True)
    with Demo(exe) as d:
        code, _, err = whyrss(d.pid, check=False)
        if code == 1:  # without names only what must hold is left, and that is not enough for each variable
            assert mode == "-tiny"
            assert len(err.strip().splitlines()) == 1 and "could not be found by the layout of" in err, err
        else:
            read_without_release(d)
