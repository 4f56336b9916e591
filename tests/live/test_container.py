"""The container's number, in a real cgroup that the test makes (v1 or v2, whichever the machine has for memory)."""
import os
import pathlib

import pytest
from conftest import ledger, view
from demos import Demo, build


def memory_cgroup():
    """The folder of our own memory cgroup, or None."""
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            return pathlib.Path("/sys/fs/cgroup/memory" + path)
        if controllers == "" and pathlib.Path("/sys/fs/cgroup/cgroup.controllers").exists():
            return pathlib.Path("/sys/fs/cgroup" + path)
    return None


@pytest.fixture
def container(tmp_path):
    """A child cgroup with a limit of 1 GiB, and a script that starts a program in it."""
    top = memory_cgroup()
    if top is None or os.getuid() != 0:
        pytest.skip("needs root and a memory cgroup")
    home = top / f"whyrss-test-{os.getpid()}"
    try:
        home.mkdir()
    except OSError as e:
        pytest.skip(f"cgroups can't be made here: {e}")
    limit = next((home / n for n in ("memory.limit_in_bytes", "memory.max") if (home / n).exists()), None)
    if limit is None:
        home.rmdir()
        pytest.skip("the memory controller is not delegated")
    limit.write_text(str(1 << 30))

    def start(binary):
        script = tmp_path / "start.sh"
        script.write_text(f"#!/bin/sh\necho $$ > {home}/cgroup.procs\nexec {binary} \"$@\"\n")
        script.chmod(0o755)
        return str(script)

    yield start
    home.rmdir()


def test_page_cache_is_not_rss(container):
    with Demo(container(build("pagecache"))) as d:
        got = ledger(d.pid)
        c = got["cgroup"]
        assert c["limit"] == 1 << 30
        assert "whyrss-test" in c["path"]
        row = {r["id"]: r for r in got["container"]}
        cache = d.ready["expect"].get("page cache", 0) or 300 << 20
        assert row["cache"]["delta"] > 0.9 * cache, row
        assert abs(row["shared"]["delta"]) < 0.1 * c["current"], row
        assert got["causes"][0]["id"] == "container-metric", [(x["id"], x["bytes"] >> 20) for x in got["causes"]]


def test_limit_and_distance(container):
    with Demo(container(build("nothing"))) as d:
        got = ledger(d.pid)
        text = [r for r in got["causes"] if r["id"] == "nothing-wrong"]
        assert text and any("OOM" in e for e in text[0]["evidence"]), got["causes"]
        assert got["cgroup"]["current"] < got["cgroup"]["limit"]
        assert view("ledger", d.pid)["cgroup"]["working_set"] <= got["cgroup"]["current"] + (8 << 20)
