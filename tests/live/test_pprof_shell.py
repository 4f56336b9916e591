"""The shell of `whyrss pprof`: the same lines piped into google/pprof print the same; on a terminal they can be edited."""
import os
import pty
import select
import subprocess
import time

import pytest

import pprof_ref as ref
from conftest import WHYRSS

# Lines of which each side says the same, errors included. Ties of equal entries, help and the words about a wrong value are not among them.
SCRIPT = """top3 >
top 2 -cum
top3 main -recurse
flat=1
lines=true
top2
nodecount
nodecount=5 //: comment
top
  list   nothing
peek
peek insert
sample_index=9
sample_index=bogus
sample_index={index} //: [xx]
top4
mean_{index}
top1
total_{index}
top1
:
tags
tags key -other
help no-such-thing
focus
focus 3
focus=[
top
focus=
bogus one two
top999999999999
top3x
trim
trim=false
text 7
tree 5
traces >{dir}/traces
raw > {dir}/raw
proto >{dir}/proto.pb.gz
callgrind
top > {dir}/top
unit=mb
top
compact_labels=no
top
divide_by=0
top
divide_by=2
top
comments
dot 5
hide=main
show_from=a=b
tagfocus = 1kb: 
o
:
o
sample_index=
granularity=addresses
top5
  quit
top never
"""


def piped(exe, profile, text, cwd):
    cwd.mkdir()
    r = subprocess.run([*map(str, exe), str(profile)], input=text.encode(), capture_output=True, cwd=cwd, env=ref.ENV, timeout=120)
    files = {f.name: f.read_bytes() for f in cwd.iterdir() if not f.name.endswith(".gz")}
    return r.returncode, r.stdout.decode("utf-8", "replace"), r.stderr.decode("utf-8", "replace").replace(str(cwd), "DIR"), files


def profiles():
    return {f"{p.parent.name}/{p.name[:-6]}": p for p in ref.captured() + ref.made() if p.name.endswith('.pb.gz')}


# profile: one of its values
PROFILES = {"captured/heap": "inuse_objects", "captured/mutex": "delay", "made/cpu": "samples", "made/units": "gcu", "made/empty": "cpu"}


@pytest.mark.parametrize("name", PROFILES)
def test_same_as_pprof(name, tmp_path):
    text = SCRIPT.format(dir=".", index=PROFILES[name])
    got = piped([WHYRSS, "pprof"], profiles()[name], text, tmp_path / "got")
    answers = set()
    for i in range(4):
        want = piped([ref.binary()], profiles()[name], text, tmp_path / f"want{i}")
        if want == got:
            break
        answers.add(want[1])
        # it differs from itself: the order of equal entries
        if len(answers) > 1 and sorted(want[1].split()) == sorted(got[1].split()):
            want = (want[0], got[1], want[2], got[3])
            break
    assert want[2].splitlines() == got[2].splitlines()
    assert want[1].splitlines() == got[1].splitlines()
    assert want == got
    assert want[0] == 0 and len(want[1]) > (200 if name == "made/empty" else 2000)


def test_last_line_and_end(tmp_path):
    for i, text in enumerate(("top3", "top3\nexit", "", "\n\n  \n", "top3\r\nq\r\n")):
        want = piped([ref.binary()], profiles()["captured/cpu"], text, tmp_path / f"want{i}")
        assert piped([WHYRSS, "pprof"], profiles()["captured/cpu"], text, tmp_path / f"got{i}") == want, text


def test_pictures_go_to_files(tmp_path):
    code, out, err, _ = piped([WHYRSS, "pprof"], profiles()["made/cpu"], "proto\nsvg\nproto\n", tmp_path / "x")
    assert code == 0 and out == ""
    assert [line for line in err.splitlines() if line.startswith("Generating")] == \
        [f"Generating report in profile001.{k}" for k in ("pb.gz", "svg")] + ["Generating report in profile002.pb.gz"]


def test_own_words(tmp_path):
    """What is said otherwise than google/pprof says it, or taken where it takes nothing."""
    code, _, err, _ = piped([WHYRSS, "pprof"], profiles()["made/cpu"], "sort=bogus\nnodecount=x\nmean=perhaps\ncum\no\nhelp\nhelp focus\n" + "x" * 70000 + "\nhelp top\n",
                            tmp_path / "x")
    assert code == 0
    assert 'sort: "bogus" is not one of its choices' in err and 'nodecount: "x" is not a whole number' in err and 'mean: "perhaps" is not a yes or no' in err
    assert "sort                      = cum " in err
    assert "only samples with a frame that matches" in err and "a line has more than" in err and "top [n]" in err


T = 60


class Terminal:
    def __init__(self, profile):
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.environ.update(ref.ENV, TERM="xterm")
            os.execv(WHYRSS, [str(WHYRSS), "pprof", str(profile)])
        self.seen = ""

    def wait(self, text):
        """What came since the last call, up to `text`."""
        until = time.time() + T
        while text not in self.seen:
            assert time.time() < until, (text, self.seen)
            if select.select([self.fd], [], [], 1)[0]:
                try:
                    self.seen += os.read(self.fd, 65536).decode("utf-8", "replace")
                except OSError:  # the other end is gone
                    assert text in self.seen, (text, self.seen)
        at = self.seen.index(text) + len(text)
        before, self.seen = self.seen[:at], self.seen[at:]
        return before

    def send(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        status = os.waitpid(self.pid, 0)[1]
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


def test_editing():
    t = Terminal(profiles()["captured/heap"])

    def begin():
        """A line that is being edited: the prompt may be there before the terminal passes keys on as they are."""
        t.wait("(pprof) ")
        t.send("granul\t")  # one name begins so
        t.wait("arity")

    begin()
    t.send("=li\t\x7f\x7flines\ro\r")  # nothing is known of what follows "="
    t.wait("granularity               = lines")
    begin()
    t.send("\x15alloc_space\r")
    begin()
    t.send("\x15peek indexTok\t\r")  # the only function with this in its name, as a pattern
    t.wait("| compress/flate.(*huffmanBitWriter).indexTokens")
    begin()
    t.send("\x15=7\x01nodecou\t\ro\r")  # put together from its end
    t.wait("nodecount                 = 7")
    begin()
    t.send("\x15\x10\x10\x7f\x7f=9\ro\r")  # the line before the last, changed
    t.wait("nodecount                 = 9")
    begin()
    t.send("\x15help to\t\t")  # several ways to go on
    t.wait("topproto")
    t.send("\x15\x04")
    assert t.end() == 0
