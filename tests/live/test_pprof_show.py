"""Where reports of `whyrss pprof` go: pictures without dot, viewers, the page."""
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time
import urllib.request
import xml.etree.ElementTree as xml

import pytest

import pprof_ref as ref
from conftest import WHYRSS

SVG = "{http://www.w3.org/2000/svg}"


def profile(kind, of="captured"):
    return next(p for p in (ref.captured() if of == "captured" else ref.made()) if p.name == f"{kind}.pb.gz")


def pprof(args, tmp_path, path="/nonexistent", **env):
    return subprocess.run([WHYRSS, "pprof", *map(str, args)], capture_output=True, cwd=tmp_path, timeout=120, stdin=subprocess.DEVNULL,
                          env=dict(ref.ENV, PATH=str(path), TMPDIR=str(tmp_path), **env))


@pytest.mark.parametrize("which", [("cpu", "captured"), ("heap", "made"), ("negative", "made"), ("large", "made"), ("empty", "made"), ("tiny", "made")])
def test_svg_without_dot(which, tmp_path):
    """Every box and edge of -dot is in the picture, and no box lies on another."""
    p = profile(*which)
    dot = pprof(["-dot", "-symbolize=none", p], tmp_path).stdout.decode()
    r = pprof(["-svg", "-symbolize=none", p], tmp_path)
    assert r.returncode == 0 and b"dot is not installed" in r.stderr, r.stderr
    root = xml.fromstring(r.stdout)
    boxes = [g for g in root.iter(f"{SVG}g") if g.get("class") == "node"]
    edges = [g for g in root.iter(f"{SVG}g") if g.get("class") == "edge"]
    wanted = re.findall(r"^N[\d_N]+ \[label", dot, re.M)
    assert len(boxes) == len(wanted) and len(edges) == len(re.findall(r"^N[\d_N]+ -> N", dot, re.M))
    titles = {g.find(f"{SVG}title").text for g in boxes}
    assert {t.replace('\\"', '"').replace("\\\\", "\\") for t in re.findall(r'^N\d+ \[label.*? tooltip="((?:[^"\\]|\\.)*)"', dot, re.M)} <= titles
    rects = sorted(tuple(float(g.find(f"{SVG}rect").get(k)) for k in ("x", "y", "width", "height")) for g in boxes)
    width, height = float(root.get("width")), float(root.get("height"))
    for i, (x, y, w, h) in enumerate(rects):
        assert 0 <= x and x + w <= width + 1 and 0 <= y and y + h <= height + 1
        for x2, y2, w2, h2 in rects[i + 1:]:
            assert x2 >= x + w or y2 >= y + h or y2 + h2 <= y, "boxes overlap"
    again = pprof(["-svg", "-symbolize=none", p], tmp_path)
    assert again.stdout == r.stdout


def test_pictures_by_dot(tmp_path):
    if not shutil.which("dot"):
        pytest.skip("needs graphviz")
    starts = {"svg": b"<?xml", "png": b"\x89PNG", "gif": b"GIF8", "pdf": b"%PDF", "ps": b"%!PS"}
    for kind, start in starts.items():
        r = pprof([f"-{kind}", "-symbolize=none", profile("cpu")], tmp_path, path=os.environ["PATH"])
        assert r.returncode == 0 and r.stdout.startswith(start), (kind, r.stderr)
    # other than SVG, there is none without it
    r = pprof(["-png", "-symbolize=none", profile("cpu")], tmp_path)
    assert r.returncode == 1 and b"graphviz" in r.stderr and not r.stdout


def viewer(folder, name):
    """A program that keeps what it is given."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\nfor last; do :; done\necho \"$@\" > {folder}/{name}.args\n/bin/cat \"$last\" > {folder}/{name}.seen\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize("report,name,start", [("kcachegrind", "kcachegrind", b"positions:"), ("eog", "eog", b"<?xml"), ("web", "firefox", b"<?xml"), ("weblist=main", "my-browser", b"<!DOCTYPE html>")])
def test_viewers(report, name, start, tmp_path):
    bin = tmp_path / "bin"
    viewer(bin, name)
    r = pprof([f"-{report}", "-symbolize=none", profile("cpu")], tmp_path, path=bin, BROWSER="my-browser" if name == "my-browser" else "")
    assert r.returncode == 0, r.stderr
    seen = (bin / f"{name}.seen").read_bytes()
    assert seen.startswith(start)
    file = (bin / f"{name}.args").read_text().split()[-1]
    assert re.fullmatch(r".*/pprof\d\d\d\.(grind|svg|html)", file) and not os.path.exists(file)
    # with -output nothing is shown
    (bin / f"{name}.seen").unlink()
    r = pprof([f"-{report}", "-symbolize=none", f"-output={tmp_path}/out", profile("cpu")], tmp_path, path=bin)
    assert r.returncode == 0 and not (bin / f"{name}.seen").exists() and (tmp_path / "out").read_bytes().startswith(start)


def test_no_viewer(tmp_path):
    for report in ("gv", "evince", "kcachegrind", "web"):
        r = pprof([f"-{report}", "-symbolize=none", profile("cpu")], tmp_path)
        assert r.returncode == 1 and r.stderr.count(b"whyrss:") == 1 and not list(tmp_path.iterdir()), (report, r.stderr)


def test_page(tmp_path):
    """-http serves the page with the profile, and opens it in a browser where there is a terminal."""
    bin = tmp_path / "bin"
    bin.mkdir()
    (bin / "browser").write_text(f"#!/bin/sh\necho \"$@\" > {tmp_path}/opened\n")
    (bin / "browser").chmod(0o755)
    pid, fd = pty.fork()
    if not pid:
        os.environ.update(ref.ENV, PATH=str(bin), BROWSER="browser")
        os.execv(WHYRSS, [str(WHYRSS), "pprof", "-symbolize=none", "-http=localhost:", str(profile("heap"))])
    try:
        text, until = "", time.time() + 60
        while "/\r\n" not in text and time.time() < until:
            if select.select([fd], [], [], 1)[0]:
                text += os.read(fd, 65536).decode()
        url = re.search(r"http://\S+", text)[0]
        shelf = json.load(urllib.request.urlopen(f"{url}api/1/profiles", timeout=30))
        assert [p["name"] for p in shelf["profiles"]] == ["heap.pb.gz"] and shelf["profiles"][0]["samples"] > 100
        while not (tmp_path / "opened").exists() and time.time() < until:
            time.sleep(.1)
        assert re.fullmatch(r"http://localhost:\d+/\n", (tmp_path / "opened").read_text())
        assert url.rsplit(":", 1)[1] in (tmp_path / "opened").read_text()
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
        os.close(fd)


def test_page_usage(tmp_path):
    for args in (["-http=8080"], ["-http=localhost:http2"], ["-http=a:b:1"], ["-http=:0", "-top"], ["-no_browser"]):
        r = pprof([*args, "-symbolize=none", profile("cpu")], tmp_path)
        assert r.returncode == 2 and r.stderr.startswith(b"whyrss: "), (args, r.stderr)
