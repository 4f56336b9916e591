"""Go inside of something else, stripped or not: plugins, a C archive, Python, Java, several runtimes in one process."""
import os
import shutil
import subprocess
import sys

import pytest
from conftest import ledger, lines, view, whyrss
from test_shapes import Host, libs  # noqa: F401 (a fixture)
from test_stripped import compare

# What the tests let each runtime keep; a name of its own for each way in.
KEEP = """package main

%(imports)s

var keep [][]byte

func fill(mib int) {
	for i := 0; i < mib; i++ {
		b := make([]byte, 1<<20)
		for j := range b {
			b[j] = 1
		}
		keep = append(keep, b)
	}
}
"""

LIBRARY = KEEP % {"imports": 'import "C"\nimport "unsafe"'} + """
//export Fill
func Fill(mib C.int) { fill(int(mib)) }

//export Java_Host_fill
func Java_Host_fill(env, class unsafe.Pointer, mib C.int) { fill(int(mib)) }

func main() {}
"""

# A plugin's own goroutines wait in its functions, which are in another module than the runtime's.
PLUGIN = KEEP % {"imports": ""} + """
func wait(c chan int) { <-c }

func Fill(mib int) {
	fill(mib)
	c := make(chan int)
	for i := 0; i < 300; i++ {
		go wait(c)
	}
}
"""

PLUGIN_HOST = """package main

import (
	"fmt"
	"os"
	"plugin"
)

func main() {
	for _, path := range os.Args[1:] {
		p, err := plugin.Open(path)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		f, err := p.Lookup("Fill")
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		f.(func(int))(40)
	}
	fmt.Println("ready")
	os.Stdin.Read(make([]byte, 1))
}
"""

ARCHIVE_HOST = """#include <stdio.h>
#include <unistd.h>
extern void Fill(int);
int main(void)
{
	char c;
	Fill(40);
	puts("ready");
	fflush(stdout);
	return read(0, &c, 1) < 0;
}
"""

PYTHON_HOST = """import ctypes, sys
for path in sys.argv[1:]:
    ctypes.CDLL(path).Fill(40)
print("ready", flush=True)
sys.stdin.read(1)
"""

JAVA_HOST = """class Host {
	static native void fill(int mib);
	public static void main(String[] args) throws Exception {
		System.load(args[0]);
		fill(40);
		System.out.println("ready");
		System.in.read();
	}
}
"""


def go_build(folder, source, out, mode=None, flags=()):
    folder.mkdir()
    (folder / "go.mod").write_text(f"module {folder.name}\n\ngo 1.21\n")
    (folder / "main.go").write_text(source)
    env = {**os.environ, "CGO_ENABLED": "1", "GOFLAGS": "-buildvcs=false", "GOWORK": "off"}
    mode = [f"-buildmode={mode}"] if mode else []
    subprocess.run(["go", "build", "-p", "2", *mode, *flags, "-o", str(out), "."], cwd=folder, env=env, check=True, timeout=600)
    return out


def stripped(path, to):
    subprocess.run(["strip", "-o", str(to), str(path)], check=True)
    return to


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    root = tmp_path_factory.mktemp("library")
    return go_build(root / "golib", LIBRARY, root / "libgo.so", "c-shared")


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    root = tmp_path_factory.mktemp("plugins")
    host = go_build(root / "host", PLUGIN_HOST, root / "plughost")
    # two of them: a module each
    return host, [go_build(root / f"plug{i}", PLUGIN, root / f"plug{i}.so", "plugin") for i in (1, 2)]


def explained(pid, mib, code=0):
    """One runtime's memory, whole, and nothing that nobody claimed."""
    got, _, _ = whyrss(pid, "--json", check=False)
    assert got == code
    d = ledger(pid)
    line = lines(d)
    assert mib << 20 <= line["heap.live"]["bytes"] + line["heap.new"]["bytes"] <= (mib + 20) << 20, line
    assert line["unexplained"]["resident"] < 0.005 * d["os"]["rss"], line["unexplained"]
    return d


def as_with_symbols(pid):
    """The same process, with its symbols and as if it had none."""
    for name, diff, _ in compare(pid):
        assert not diff, (name, diff[:8])


@pytest.mark.parametrize("strip", [False, True])
def test_plugins(plugins, tmp_path, strip):
    """A plugin is a module of the program's runtime, not another runtime; its file is a library."""
    host, plugs = plugins
    if strip:
        host = stripped(host, tmp_path / "plughost")
        plugs = [stripped(p, tmp_path / p.name) for p in plugs]
    with Host([host, *plugs]) as pid:
        d = explained(pid, 80)
        assert not any("another Go runtime" in n for n in d["notes"]), d["notes"]
        assert d["target"]["exe"].endswith("plughost")
        g = view("goroutines", pid)
        assert sum(x["count"] for x in g["groups"]) >= 600, g
        if not strip:
            as_with_symbols(pid)


@pytest.mark.parametrize("strip", [False, pytest.param(True, marks=pytest.mark.full)])
def test_archive_in_a_c_program(tmp_path, strip):
    go_build(tmp_path / "golib", LIBRARY, tmp_path / "libgo.a", "c-archive")
    (tmp_path / "host.c").write_text(ARCHIVE_HOST)
    host = tmp_path / "host"
    subprocess.run(["cc", "-o", str(host), str(tmp_path / "host.c"), str(tmp_path / "libgo.a"), "-lpthread"], check=True)
    if strip:
        host = stripped(host, tmp_path / "host-stripped")
    with Host([host]) as pid:
        d = explained(pid, 40)
        assert d["target"]["stripped"] is strip and d["target"]["cgo"] is True
        if not strip:
            as_with_symbols(pid)


@pytest.mark.parametrize("strip", [pytest.param(False, marks=pytest.mark.full), True])
def test_in_python(library, tmp_path, strip):
    so = stripped(library, tmp_path / "libgo.so") if strip else library
    with Host([sys.executable, "-c", PYTHON_HOST, so]) as pid:
        d = explained(pid, 40)
        line = lines(d)
        # the interpreter is a program that is not Go's, and glibc's memory is its own
        assert line["libs"]["resident"] > 1 << 20 and line["native.used"]["resident"] > 1 << 20
        _, out, _ = whyrss()
        assert any(str(pid) in x.split() for x in out.splitlines())
        if not strip:
            as_with_symbols(pid)


@pytest.mark.full
@pytest.mark.parametrize("strip", [False, True])
def test_in_java(library, tmp_path, strip):
    if not shutil.which("java"):
        pytest.skip("needs a JDK")
    so = stripped(library, tmp_path / "libgo.so") if strip else library
    (tmp_path / "Host.java").write_text(JAVA_HOST)
    with Host(["java", "-Xmx64m", "-Xshare:auto", tmp_path / "Host.java", so]) as pid:
        d = explained(pid, 40)
        assert lines(d)["libs"]["resident"] > 1 << 20
        if not strip:
            as_with_symbols(pid)


@pytest.mark.parametrize("which", [(True, True), pytest.param((True, False), marks=pytest.mark.full), pytest.param((False, True), marks=pytest.mark.full)])
def test_two_runtimes_stripped(libs, tmp_path, which):  # noqa: F811
    """One is explained, the other one is named; what the other one keeps is the process' own mappings."""
    host, so = libs
    so = [str(stripped(p, tmp_path / os.path.basename(p))) if s else p for p, s in zip(so, which)]
    with Host([host, *so]) as pid:
        code, _, _ = whyrss(pid, "--json", check=False)
        assert code == 3
        d = ledger(pid)
        other = [n for n in d["notes"] if "another Go runtime" in n]
        assert len(other) == 1 and ("lib1.so" in other[0]) != ("lib2.so" in other[0]), d["notes"]
        mine, others = (80, 40) if "lib1.so" in other[0] else (40, 80)
        line = lines(d)
        assert mine << 20 <= line["heap.live"]["bytes"] + line["heap.new"]["bytes"] <= (mine + 20) << 20
        assert line["anon"]["resident"] >= others << 20
        assert line["unexplained"]["resident"] < 0.005 * d["os"]["rss"]
