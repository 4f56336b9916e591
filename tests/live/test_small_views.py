"""small-view-pins-big-array: who has it, and above all who has not."""
import os
import subprocess

import pytest
from conftest import LAST, ledger

CAUSE = "small-view-pins-big-array"
MIB = 64

PROGRAM = """package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
)

const all = %d << 20

var keep []any

type conn struct {
	rbuf []byte
	r, w int
}

type unread struct{ rest []byte }

type sample struct{ a, b, c uint32 }

func page(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + i%%26)
	}
	return b
}

var modes = map[string]func(){
	// --- nothing is lost here ---
	"buffers": func() { // whole buffers, and slices of them beside
		for n := 0; n < all; n += 1 << 20 {
			b := page(1 << 20)
			keep = append(keep, b, b[100:200])
		}
	},
	"full": func() { // one slice each, capacity cut, all of it
		for n := 0; n < all; n += 1 << 16 {
			keep = append(keep, page(1 << 16)[8:1<<16:1<<16])
		}
	},
	"ring": func() { // rings: the reader's and the writer's window
		for n := 0; n < all; n += 1 << 16 {
			b := page(1 << 16)
			keep = append(keep, &conn{b, 100, 160}, b[100:160])
		}
	},
	"bufio": func() {
		for n := 0; n < all; n += 1 << 16 {
			r := bufio.NewReaderSize(bytes.NewReader(make([]byte, 100000)), 1<<16)
			b, _ := r.Peek(40)
			r.Discard(10)
			keep = append(keep, r, b[10:])
		}
	},
	"split": func() { // many strings of one big file: together they are all of it
		for n := 0; n < all; n += 1 << 24 {
			var b strings.Builder
			for b.Len() < 1<<24-32 {
				b.WriteString("a line of some length to keep\\n")
			}
			lines := strings.Split(b.String(), "\\n")
			keep = append(keep, lines[1:])
		}
	},
	"fields": func() { // every word of small messages
		for n := 0; n < all/4; n += 1 << 12 {
			keep = append(keep, strings.Fields(strings.Repeat("key=value ", 1<<12/10))[1:])
		}
	},
	"floats": func() { // rows of matrices: the elements are not bytes
		for n := 0; n < all; n += 1 << 20 {
			b := make([]float64, 1<<17)
			for i := range b {
				b[i] = float64(i)
			}
			for i := 1; i < 128; i++ {
				keep = append(keep, b[i<<10:(i+1)<<10])
			}
		}
	},
	"cutrows": func() { // the same with capacities cut
		for n := 0; n < all; n += 1 << 20 {
			b := make([]sample, (1<<20)/12)
			for i := range b {
				b[i].a = 1
			}
			for i := 1; i < 128; i++ {
				keep = append(keep, b[i*682:(i+1)*682:(i+1)*682])
			}
		}
	},
	"rest": func() { // what is left of a buffer, to be filled again
		for n := 0; n < all; n += 1 << 16 {
			keep = append(keep, &unread{page(1 << 16)[4000:]}, &unread{page(1 << 16)[60000:60000]})
		}
	},
	"pointers": func() { // slabs of which elements are handed out
		for n := 0; n < all; n += 1 << 16 {
			b := make([]sample, (1<<16)/12)
			for i := range b {
				b[i].a = 1
			}
			for i := 7; i < len(b); i += 7 {
				keep = append(keep, &b[i])
			}
		}
	},
	"pool": func() {
		var p sync.Pool
		for n := 0; n < all; n += 1 << 16 {
			b := page(1 << 16)
			p.Put(&b)
		}
		keep = append(keep, &p)
	},
	"stack": func() { // a goroutine has the buffer, the heap a small slice of it
		for n := 0; n < all; n += 1 << 20 {
			b, ready := page(1 << 20), make(chan bool)
			go func() {
				ready <- true
				<-make(chan bool)
				fmt.Println(b[0])
			}()
			<-ready
			keep = append(keep, b[100:120])
		}
	},
	// --- here it is ---
	"substrings": func() {
		for n := 0; n < all; n += 1 << 16 {
			keep = append(keep, string(page(1 << 16))[300:330])
		}
	},
	"several": func() {
		for n := 0; n < all; n += 1 << 16 {
			s := string(page(1 << 16))
			keep = append(keep, map[string]string{s[300:330]: s[40000:40010], s[700:705]: s[500:507]})
		}
	},
	"medium": func() {
		for n := 0; n < all; n += 1 << 12 {
			keep = append(keep, string(page(1 << 12))[301:330])
		}
	},
	"cut": func() {
		for n := 0; n < all; n += 1 << 20 {
			keep = append(keep, page(1 << 20)[4001:4101:4101])
		}
	},
}

func main() {
	modes[os.Args[1]]()
	runtime.GC()
	runtime.GC()
	fmt.Println("ready")
	os.Stdin.Read(make([]byte, 1))
	runtime.KeepAlive(keep)
}
""" % MIB

HARMLESS = ["buffers", "full", "ring", "bufio", "split", "fields", "floats", "cutrows", "rest", "pointers", "pool", "stack"]
GUILTY = ["substrings", "several", "medium", "cut"]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    built = {}

    def build(go):
        if go not in built:
            d = tmp_path_factory.mktemp("views")
            (d / "go.mod").write_text("module views\n\ngo 1.18\n")
            (d / "main.go").write_text(PROGRAM)
            env = {**os.environ, "GOTOOLCHAIN": go, "GOFLAGS": "-buildvcs=false", "CGO_ENABLED": "0",
                   "GODEBUG": "goindex=0" if go.startswith("go1.19.") else ""}  # its package index fails on a toolchain in a module cache
            subprocess.run(["go", "build", "-o", "views", "."], cwd=d, env=env, check=True, timeout=600)
            built[go] = d / "views"
        return built[go]

    return build


def ask(binary, mode):
    env = {k: v for k, v in os.environ.items() if k not in ("GODEBUG", "GOGC", "GOMEMLIMIT")}
    with subprocess.Popen([binary, mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as p:
        try:
            assert p.stdout.readline() == "ready\n"
            got = ledger(p.pid)
        finally:
            p.stdin.close()
    return {c["id"]: c for c in got["causes"]}, got


RELEASES = [pytest.param(go, marks=() if go == "local" else pytest.mark.full) for go in LAST]


@pytest.mark.parametrize("go", RELEASES)
def test_not_accused(program, go):
    for mode in HARMLESS:
        causes, _ = ask(program(go), mode)
        assert CAUSE not in causes, (mode, causes[CAUSE])


@pytest.mark.parametrize("go", RELEASES)
def test_found(program, go):
    for mode in GUILTY:
        causes, got = ask(program(go), mode)
        assert CAUSE in causes, (mode, got["notes"], list(causes))
        assert 0.75 * (MIB << 20) < causes[CAUSE]["bytes"] < 1.05 * (MIB << 20), (mode, causes[CAUSE])
        assert causes[CAUSE]["confidence"] in ("likely", "possible")
        assert causes[CAUSE]["actions"][0]["saves"] == causes[CAUSE]["bytes"]
