"""`whyrss check`: expectations hold or not, of processes and recordings, with an exit code and JUnit."""
import json
import subprocess
import xml.etree.ElementTree as ET

import pytest
from conftest import WHYRSS, whyrss
from demos import Demo, build


def test_check(tmp_path):
    db, xml = tmp_path / "x.db", tmp_path / "j.xml"
    with Demo(build("rawmmap")) as d:
        assert whyrss("check", d.pid, "--expect", "cause=raw-mmap", "--expect", "rss > 10MiB", "-e", "heap.live<90%")[0] == 0
        code, out, _ = whyrss("check", d.pid, "--expect", "gap<1%", "--expect", "cause!=raw-mmap", "--expect", "rss>1", "--junit", xml,
                              check=False)
        assert code == 1 and out.count("FAILED") == 2 and out.count("ok ") == 1
        code, out, _ = whyrss("check", d.pid, "--expect", "gap<1%", "--json", check=False)
        got = json.loads(out)
        assert code == 1 and got["ok"] is False and got["expects"][0]["value"] > 1 << 20
        subprocess.run([WHYRSS, "record", str(d.pid), "-o", db, "--duration", "3s"], check=True, stderr=subprocess.DEVNULL, timeout=30)
    suite = ET.parse(xml).getroot()
    assert suite.get("tests") == "3" and suite.get("failures") == "2"
    assert whyrss("check", db, "--expect", "cause=raw-mmap", "--expect", "growth<1MiB")[0] == 0
    assert whyrss("check", db, "--expect", "anon<1MiB", check=False)[0] == 1


@pytest.mark.parametrize("what", ["", "gap", "gap<", "<5", "gap<x", "gap!5", "nosuch<5", "cause<5", "x" * 300 + "<1"])
def test_usage(what):
    code, _, err = whyrss("check", "1", "--expect", what, check=False)
    assert code == 2 and err.count("\n") == 1
