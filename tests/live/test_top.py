"""`whyrss top`: one table when piped, and its screens driven through tmux."""
import json
import os
import re
import shutil
import subprocess
import time

import pytest
from conftest import WHYRSS, whyrss
from demos import Demo, build


def test_table():
    with Demo(build("nothing")) as d, Demo(build("rawmmap")) as e:
        got = json.loads(whyrss("top", d.pid, e.pid, "--json")[1])
        rows = {r["pid"]: r for r in got["processes"]}
        assert got["schema"] == "whyrss.top/1" and set(rows) == {d.pid, e.pid}
        assert rows[e.pid]["cause"] == "raw-mmap" and rows[e.pid]["gap"] > 10 << 20
        _, text, _ = whyrss("top")
        assert str(d.pid) in text and "raw-mmap" in text
    assert whyrss("top", 999999999, check=False)[0] == 1


class Tmux:
    """A terminal of its own on a socket of its own; it ends with the block."""

    def __init__(self, tmp_path, x=100, y=30):
        self.cmd = ["tmux", "-S", str(tmp_path / "tmux"), "-f", "/dev/null"]
        self.size = ["-x", str(x), "-y", str(y)]

    def __call__(self, *args):
        return subprocess.run([*self.cmd, *args], capture_output=True, text=True, timeout=20, check=True,
                              env={**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}).stdout

    def start(self, *words):
        self("new-session", "-d", *self.size, " ".join(words) + "; echo code $?; sleep 60")
        return self

    def wait(self, text, seconds=30, gone=False):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            screen = self("capture-pane", "-p")
            if (text in screen) != gone:
                return screen
            time.sleep(0.2)
        raise AssertionError(f"{text!r}: {screen}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run([*self.cmd, "kill-server"], capture_output=True, timeout=20, check=False)


@pytest.mark.skipif(not shutil.which("tmux"), reason="no tmux")
def test_screens(tmp_path):
    # of two, since on a busy machine the whole list moves while it is looked at
    with Demo(build("churn"), ["-max-seconds", "90"]) as d, Demo(build("nothing")) as other, Tmux(tmp_path) as t:
        t.start(WHYRSS, "top", str(d.pid), str(other.pid))
        t.wait(str(d.pid))
        for _ in range(40):      # down to it, wherever it is in the list
            line = next((x for x in t("capture-pane", "-e", "-p").splitlines() if str(d.pid) in x), "")
            if re.search(r"\x1b\[[0-9;]*[17]m", line):  # bold or reverse; the end of the line above is neither
                break
            t("send-keys", "Down")
            time.sleep(0.2)
        t("send-keys", "Enter")
        screen = t.wait("heap.live")
        assert "goroutines" in screen and "RSS" in screen and f"pid {d.pid}" in screen
        assert any(0x2800 < ord(c) < 0x2900 for c in t("capture-pane", "-p"))
        t("resize-window", "-x", "15", "-y", "3")
        t.wait("too small")
        for x, y in ((24, 5), (40, 8), (60, 12), (120, 40)):
            t("resize-window", "-x", str(x), "-y", str(y))
            t.wait("churn")
        t.wait("heap.live")
        t("send-keys", "Escape")
        t.wait("by RSS")
        t("send-keys", "s")
        t.wait("by gap")
        t("send-keys", "q")
        t.wait("code 0")


@pytest.mark.skipif(not shutil.which("tmux"), reason="no tmux")
def test_process_ends(tmp_path):
    with Tmux(tmp_path) as t:
        with Demo(build("nothing")) as d:
            t.start(WHYRSS, "top", str(d.pid))
            t.wait("heap.live")
        t.wait("code 1")
        assert "ended" in t.wait("ended")


@pytest.mark.skipif(not shutil.which("tmux"), reason="no tmux")
@pytest.mark.parametrize("key", [None, "Escape"])
def test_terminal_goes_away(tmp_path, key):
    """It ends with its terminal, whichever screen is shown."""
    with Demo(build("nothing")) as d, Tmux(tmp_path) as t:
        t.start("exec", WHYRSS, "top", str(d.pid))
        t.wait("heap.live")
        pid = int(t("display-message", "-p", "#{pane_pid}"))
        if key:
            t("send-keys", key)
            t.wait("by RSS")
        t("kill-server")
        end = time.monotonic() + 20
        while os.path.exists(f"/proc/{pid}") and time.monotonic() < end:
            time.sleep(0.2)
        assert not os.path.exists(f"/proc/{pid}")


@pytest.mark.skipif(not shutil.which("tmux"), reason="no tmux")
def test_panels_and_keys(tmp_path):
    """Bridge, call sites and causes of one process; search, filter, orders and help of the list."""
    with Demo(build("rawmmap")) as d, Demo(build("fragmentation")) as e, Tmux(tmp_path, 130, 40) as t:
        t.start(WHYRSS, "top", str(d.pid), str(e.pid))
        t.wait("raw-mmap")
        t("send-keys", "F1")
        t.wait("nothing here changes a process")
        t("send-keys", "x")
        t.wait("first cause")
        t("send-keys", "F4")
        t("send-keys", "-l", "FRAG")
        screen = t.wait("Filter: FRAG")
        assert str(e.pid) in screen and str(d.pid) not in screen
        t("send-keys", "Enter")
        t.wait("those with FRAG")
        t("send-keys", "F4")
        t.wait("Filter:")
        t("send-keys", "Escape")
        t.wait("those with", gone=True)
        t("send-keys", "N")
        t.wait("by PID")
        t("send-keys", "P")
        t.wait("by program")
        t("send-keys", "I")
        t.wait("turned")
        t("send-keys", "F3")
        t("send-keys", "-l", str(e.pid))
        t.wait(f"Search: {e.pid}")
        t("send-keys", "Enter")
        t("send-keys", "Enter")
        t.wait(f"pid {e.pid}")
        t.wait("heap.slots")
        t("send-keys", "Tab")
        screen = t.wait("heap profile")
        assert "+" in screen and " rss" in screen.lower()
        t("send-keys", "3")
        t.wait("main.go")
        t("send-keys", "F5")
        t.wait("do:")
        t("send-keys", "F10")
        t.wait("code 0")


@pytest.mark.skipif(not shutil.which("tmux"), reason="no tmux")
def test_hostile_name(tmp_path):
    """A program's name with escape codes, newlines and wide characters is text."""
    name = "x\x1b[31mred\x1b]0;t\x07\n\u30b4\u30fc"
    os.makedirs(tmp_path / "b")
    shutil.copy(build("nothing"), tmp_path / "b" / name)
    with Demo(str(tmp_path / "b" / name)) as d, Tmux(tmp_path) as t:
        t.start(WHYRSS, "top", str(d.pid))
        screen = t.wait(f"pid {d.pid}")
        assert "heap.live" in t.wait("heap.live") and "\x1b[31m" not in t("capture-pane", "-e", "-p")
        assert "red" in screen.splitlines()[0]
        t("send-keys", "Escape")
        t.wait("by RSS")
        t("resize-window", "-x", "30", "-y", "6")
        t.wait(str(d.pid))
        t("send-keys", "q")
        t.wait("code 0")


@pytest.mark.skipif(not shutil.which("tmux"), reason="no tmux")
def test_replay(tmp_path):
    """A recording on the same screen: its end, its peak, steps in time, and a moment to begin with."""
    db = tmp_path / "x.db"
    with Demo(build("tour")) as d:
        subprocess.run([WHYRSS, "record", str(d.pid), "-o", db, "--duration", "4s"], check=True, stderr=subprocess.DEVNULL, timeout=60)
    with Tmux(tmp_path, 120, 40) as t:
        t.start(WHYRSS, "top", str(db))
        end = t.wait("recorded, at")
        assert f"pid {d.pid}" in end and "heap.live" in end and "^" in end
        column = max(line.find("^") for line in end.splitlines() if line.strip().startswith("GC"))
        t("send-keys", "Home")
        for _ in range(50):
            line = next(x for x in t("capture-pane", "-p").splitlines() if x.strip().startswith("GC"))
            if line.find("^") < column:
                break
            time.sleep(0.2)
        assert line.find("^") < column
        t("send-keys", "3")
        t.wait("main.fillCache")
        t("send-keys", "Right")
        t("send-keys", "p")
        t("send-keys", "2")
        t.wait("bridge is not recorded")
        t("send-keys", "q")
        t.wait("code 0")
    assert "whyrss.moment/1" in whyrss("top", f"{db}@peak", "--json")[1]
