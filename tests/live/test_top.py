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
        t("resize-window", "-x", "40", "-y", "8")
        t.wait("too small")
        t("resize-window", "-x", "120", "-y", "40")
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
