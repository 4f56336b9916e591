"""The page in a real browser, Debian's Chromium: tests/browser/page.mjs does it, one check at a time. Pictures go to build/screenshots."""
import fcntl
import json
import os
import pathlib
import select
import shutil
import subprocess
import tempfile

import pytest
from conftest import ROOT, whyrss
from demos import Demo, build
from serve import Server

BROWSER = ROOT / "tests/browser"
EVIL = "<img src=x onerror=window.pwned=1>\x1b[31m\u202e"
PAGES = ("processes", "ledger", "map", "profile", "top", "graph", "peek", "source", "spans", "goroutines", "gc", "memstats", "compare")
CHECKS = ("processes", "ledger", "map", "flame", "diff", "upload", "source", "tables", "compare", "live", "theme", "keyboard", "hostile")


def modules():
    """What package-lock.json names, from npm; the browser itself is Debian's."""
    with open(BROWSER / ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp, lockfile = BROWSER / "node_modules/.lock", BROWSER / "package-lock.json"
        if not stamp.exists() or stamp.read_bytes() != lockfile.read_bytes():
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"], cwd=BROWSER, check=True, timeout=300)
            shutil.copy(lockfile, stamp)


class Browser:
    def __init__(self, **args):
        self.args = args
        self.proc = subprocess.Popen(["node", "page.mjs"], cwd=BROWSER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def check(self, name, **args):
        self.proc.stdin.write(json.dumps({"check": name, **self.args, **args}) + "\n")
        self.proc.stdin.flush()
        assert select.select([self.proc.stdout], [], [], 240)[0], f"{name}: no answer"
        answer = self.proc.stdout.readline()
        assert answer, f"{name}: the browser ended"
        error = json.loads(answer)["error"]
        assert error is None, error

    def close(self):
        self.proc.stdin.close()
        try:
            self.proc.wait(30)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    dir_ = tmp_path_factory.mktemp("hostile")
    src = pathlib.Path(tempfile.mkdtemp(prefix="whyrss-source-"))  # pytest's folders are closed to others, whose source a server of root does not show
    src.chmod(0o755)
    modules()
    shutil.copy(BROWSER / "hostile.go", src)
    (src / "hostile.go").chmod(0o644)
    subprocess.run(["go", "build", "-o", dir_ / EVIL, src / "hostile.go"], check=True, timeout=300, env={**os.environ, "GOFLAGS": "-buildvcs=false", "CGO_ENABLED": "0"}, cwd=dir_)
    with Demo(build("tour"), timeout=120) as tour, Demo(build("churn"), timeout=120) as churn, Server(tour.pid) as server:
        hostile = subprocess.Popen([dir_ / EVIL], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(dir_)})
        try:
            assert hostile.stdout.readline() == "ready\n"
            profile = dir_ / "heap.pb.gz"
            whyrss("profile", tour.pid, "-o", profile)
            b = Browser(profile=str(profile), url=server.url, pid=tour.pid, other=churn.pid, hostile=hostile.pid, out=str(ROOT / "build/screenshots"))
            yield b
            b.close()
        finally:
            hostile.kill()
            hostile.wait()
            shutil.rmtree(src)


@pytest.mark.parametrize("name", CHECKS)
def test_page_does(browser, name):
    browser.check(name)


@pytest.mark.parametrize("name", PAGES)
def test_page_looks(browser, name):
    """axe, both themes, 360 px, pictures."""
    browser.check("look", page=name)


def test_one_target_is_shown_at_once(browser):
    browser.check("start", first="ledger")
    with Server(browser.args["profile"]) as s:
        browser.check("start", url=s.url, first="profile")


def test_report_needs_no_server(browser, tmp_path):
    whyrss("report", browser.args["pid"], "-o", tmp_path / "x.html")
    browser.check("report", file=f"file://{tmp_path}/x.html")


def test_a_process_that_is_not_there(browser):
    p = subprocess.Popen(["true"])
    p.wait()
    browser.check("gone", pid=p.pid)
