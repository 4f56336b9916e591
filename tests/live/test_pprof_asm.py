"""-disasm and -weblist against google/pprof: the same bytes, the same text; by capstone where there is no objdump."""
import html
import os
import re
import shutil
import subprocess

import pytest

import pprof_ref as ref
from conftest import WHYRSS

FUNCTIONS = ["insert", "main\\.", "compress"]
OPTIONS = [[], ["-intel_syntax"], ["-mean"], ["-alloc_space"], ["-cum"], ["-unit=b"], ["-focus=main"], ["-relative_percentages", "-focus=insert"], ["-source_path=/nowhere"]]


def profile(kind):
    return next(p for p in ref.captured() if p.name == f"{kind}.pb.gz")


def tools(tmp_path):
    """A folder with binutils' programs alone, which pprof takes only where there is no LLVM."""
    out = tmp_path / "tools"
    out.mkdir()
    for name in ("objdump", "nm", "addr2line"):
        found = shutil.which(name)
        if not found:
            pytest.skip("needs binutils")
        (out / name).symlink_to(found)
    return out


def both(args, tmp_path, output=None):
    sides = []
    for exe in ([ref.binary()], [WHYRSS, "pprof"]):
        out = tmp_path / "out"
        out.unlink(missing_ok=True)
        code, text, err = ref.run(exe, [*args[:1], *([f"-output={out}"] if output else []), *args[1:]], tmp_path)
        sides.append((bool(code), (out.read_bytes() if out.exists() else b"") if output else text))
    return sides


def disasm(kind, function, options, tmp_path):
    want, got = both([f"-disasm={function}", *options, profile(kind)], tmp_path)
    assert got == want, (kind, function, options)
    return got[1]


def text_of(page):
    """What a page says, line by line; the page around it is each side's own."""
    s = re.sub(r"<(script|style)\b.*?</\1>", "", page.decode("utf-8", "replace"), flags=re.S)
    s = s[s.index("<body>") + 6:] if "<body>" in s else s
    s = re.sub(r"<(br|/?h2|/?p|/?div|/?pre)\b[^>]*>", "\n", s)
    s = html.unescape(re.sub(r"<[^>]*>", "", s))
    # what lies between functions: LLVM names a file without a line for it
    return [re.sub(r"\s[^\s:]*:0 ?$", " ", line).rstrip() for line in s.split("\n") if line.strip()]


def weblist(kind, function, options, tmp_path):
    want, got = both([f"-weblist={function}", *options, profile(kind)], tmp_path, output=True)
    assert got[0] == want[0] and text_of(got[1]) == text_of(want[1]), (kind, function, options)
    return got[1]


def test_disasm(tmp_path):
    assert disasm("cpu", "main\\.", [], tmp_path).count(b"ROUTINE") > 3
    assert disasm("heap", "insert", ["-alloc_space", "-intel_syntax"], tmp_path).count(b"ROUTINE") == 1
    disasm("heap", "nothing-of-this-name", [], tmp_path)


def test_disasm_binutils(tmp_path):
    with_tools = [f"-tools={tools(tmp_path)}"]
    assert disasm("cpu", "insert", with_tools, tmp_path).count(b"ROUTINE") == 1
    disasm("heap", "insert", ["-intel_syntax", *with_tools], tmp_path)


@pytest.mark.skipif(not shutil.which("llvm-symbolizer"), reason="needs llvm-symbolizer: addr2line leaves out what was inlined")
def test_weblist(tmp_path):
    assert weblist("cpu", "main\\.", [], tmp_path).count(b"<pre>") > 3
    weblist("heap", "compress", ["-alloc_space"], tmp_path)
    weblist("heap", "nothing-of-this-name", [], tmp_path)


@pytest.mark.full
@pytest.mark.skipif(not shutil.which("llvm-symbolizer"), reason="needs llvm-symbolizer")
@pytest.mark.parametrize("kind", ["heap", "cpu", "mutex", "block"])
def test_matrix(kind, tmp_path):
    for function in FUNCTIONS:
        for options in OPTIONS:
            if options == ["-alloc_space"] and kind != "heap":
                continue
            disasm(kind, function, options, tmp_path)
            weblist(kind, function, options, tmp_path)


def test_by_address(tmp_path):
    """A function by an address in it."""
    first = re.search(rb"\n +\. +\. +([0-9a-f]+): ", disasm("cpu", "insert", [], tmp_path))[1].decode()
    assert disasm("cpu", f"0x{first}", [], tmp_path).count(b"ROUTINE") == 1


def test_without_objdump(tmp_path):
    """Addresses, samples and places are the same; the spelling of instructions is capstone's."""
    empty = tmp_path / "empty"
    empty.mkdir()
    r = subprocess.run([WHYRSS, "pprof", "-disasm=insert", str(profile("cpu"))], capture_output=True, env=dict(os.environ, PATH=str(empty)), timeout=60)
    assert r.returncode == 0, r.stderr
    rows = [re.findall(rb"^ +(\S+) +(\S+) +([0-9a-f]+): (\w+)", line) for line in r.stdout.splitlines()]
    code, want, _ = ref.run([WHYRSS, "pprof"], ["-disasm=insert", profile("cpu")], tmp_path)
    wanted = [re.findall(rb"^ +(\S+) +(\S+) +([0-9a-f]+): (\w+)", line) for line in want.splitlines()]
    rows, wanted = ([x[0][:3] for x in v if x] for v in (rows, wanted))
    assert code == 0 and len(rows) > 50 and rows == wanted
