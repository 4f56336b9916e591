"""What free C memory can be returned, as it is promised, against what glibc's malloc_trim then returns."""
import os
import subprocess

import pytest
from conftest import ledger, lines

PROGRAM = r"""package main

/*
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_barrier_t done;
static int pin;

// 24 MiB of chunks that no thread cache takes, then freed; pin: one of 5000 and the last one stay.
static void work(void) {
	enum { N = 12000 };
	void **p = calloc(N, sizeof *p);
	for (int i = 0; i < N; i++) {
		size_t n = 1100 + i * 37 % 1900;
		p[i] = malloc(n);
		memset(p[i], 1, n);
	}
	for (int i = 0; i < N; i++)
		if (!(pin && (i % 5000 == 0 || i == N - 1)))
			free(p[i]);
	free(p);
}

static void *spike(void *arg) {
	work();
	pthread_barrier_wait(&done);
	for (;;)
		pause();
	return arg;
}

static void run(int threads, int keep) {
	void *volatile large = malloc(24 << 20);
	pin = keep;
	free(large); // from now on 48 MiB at the top of an arena are kept
	pthread_barrier_init(&done, 0, threads + 1);
	for (int i = 0; i < threads; i++) {
		pthread_t t;
		pthread_create(&t, 0, spike, 0);
	}
	work();
	pthread_barrier_wait(&done);
}

static void trim(void) { malloc_trim(0); }
*/
import "C"
import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

func anon() string {
	b, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(b), "RssAnon:")
	return strings.Fields(rest)[0]
}

func main() {
	threads, _ := strconv.Atoi(os.Args[1])
	pin, _ := strconv.Atoi(os.Args[2])
	C.run(C.int(threads), C.int(pin))
	in := bufio.NewReader(os.Stdin)
	fmt.Println("ready")
	in.ReadString('\n')
	before := anon()
	C.trim()
	fmt.Println(before, anon())
	in.ReadString('\n')
}
"""


@pytest.fixture(scope="module")
def exe(tmp_path_factory):
    d = tmp_path_factory.mktemp("trim")
    (d / "go.mod").write_text("module trim\n\ngo 1.21\n")
    (d / "main.go").write_text(PROGRAM)
    subprocess.run(["go", "build", "-o", "trim", "."], cwd=d, env={**os.environ, "CGO_ENABLED": "1"}, check=True, timeout=600)
    return str(d / "trim")


def look(exe, threads, pin, **env):
    """The bytes that each advice promises, what malloc_trim returned, and the free C memory before."""
    p = subprocess.Popen([exe, str(threads), str(pin)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **env})
    try:
        assert p.stdout.readline() == "ready\n"
        got = ledger(p.pid)
        p.stdin.write("\n")
        p.stdin.flush()
        before, after = map(int, p.stdout.readline().split())
        left = lines(ledger(p.pid))["native.free"]["resident"]
    finally:
        p.stdin.close()
        p.wait(20)
    cause = [c for c in got["causes"] if c["id"] == "native-retention"]
    saves = {a["do"].split()[1].split("=")[0]: a["saves"] for c in cause for a in c["actions"]}
    return saves, (before - after) << 10, lines(got)["native.free"]["resident"], left


@pytest.mark.parametrize("threads,pin", [(0, 0), (3, 0), (3, 1)])
def test_malloc_trim_returns_what_is_promised(exe, threads, pin):
    """Whole free pages of all arenas, and of the tops the main arena's alone: within 1 % and 256 KiB."""
    saves, returned, free, left = look(exe, threads, pin)
    # what it returned is what the line lost
    assert abs((free - left) - returned) <= 0.01 * free + (256 << 10)
    if threads and not pin:
        assert saves["MALLOC_TRIM_THRESHOLD_"] >= 60 << 20
        assert left >= 60 << 20
    if "malloc_trim(0)" in saves:
        assert abs(saves["malloc_trim(0)"] - returned) <= 0.01 * free + (256 << 10), saves
    else:
        assert returned < free / 3  # too little to be advised


def test_the_threshold_saves_what_is_promised(exe):
    """MALLOC_TRIM_THRESHOLD_ has the tops of thread arenas cut at once: most of them is a promise kept."""
    saves, _, free, _ = look(exe, 3, 0)
    _, _, with_it, _ = look(exe, 3, 0, MALLOC_TRIM_THRESHOLD_="131072")
    assert free - with_it >= saves["MALLOC_TRIM_THRESHOLD_"], (free, with_it, saves)
