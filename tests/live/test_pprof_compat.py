"""Every report, byte by byte against google/pprof, over its own test data, profiles of a real program and awkward ones."""
import collections
import concurrent.futures
import functools
import itertools
import json
import re
import subprocess
import threading
import zlib

import pytest

import pprof_ref as ref
from conftest import WHYRSS

TEXT = ["-text", "-top", "-tree", "-traces", "-raw", "-tags", "-comments", "-callgrind", "-dot", "-peek=.", "-peek=main|malloc|Foo", "-list=main|insert|handle|spin|tarjan"]
PROTO = ["-proto", "-topproto"]

# What each option is tried with. One case has one or two of these.
OPTIONS = {
    "sort": ["-cum", "-flat"],
    "granularity": ["-functions", "-filefunctions", "-files", "-lines", "-addresses"],
    "focus": ["-focus=main", "-focus=malloc|Foo", "-focus=nothing-matches-this", "-focus=\\.go", "-focus=^std::", "-focus=(?i)MAIN"],
    "ignore": ["-ignore=main", "-ignore=runtime"],
    "hide": ["-hide=main", "-hide=runtime\\..*", "-hide=app"],
    "show": ["-show=main", "-show=Foo|insert"],
    "show_from": ["-show_from=main", "-show_from=handle"],
    "prune_from": ["-prune_from=main", "-prune_from=malloc|insert"],
    "tagfocus": ["-tagfocus=a", "-tagfocus=key=b", "-tagfocus=1kb:", "-tagfocus=bytes=64b:4kb", "-tagfocus=:100", "-tagfocus=key:a,other", "-tagfocus=latency=1ms:900ms", "-tagfocus=worker=alpha"],
    "tagignore": ["-tagignore=a", "-tagignore=1kb", "-tagignore=key=a"],
    "tagshow": ["-tagshow=key", "-tagshow=bytes|worker"],
    "taghide": ["-taghide=key", "-taghide=bytes"],
    "tagroot": ["-tagroot=key", "-tagroot=bytes,key", "-tagroot=missing,worker"],
    "tagleaf": ["-tagleaf=key", "-tagleaf=latency,other key"],
    "sample_index": ["-sample_index=0", "-sample_index=1", "-inuse_space", "-alloc_objects", "-inuse_objects", "-contentions", "-total_delay", "-sample_index=cpu"],
    "mean": ["-mean", "-mean_delay"],
    "unit": ["-unit=seconds", "-unit=kb", "-unit=auto", "-unit=nonsense", "-unit=count"],
    "nodecount": ["-nodecount=3", "-nodecount=0", "-nodecount=20"],
    "nodefraction": ["-nodefraction=0", "-nodefraction=0.05", "-nodefraction=.3"],
    "edgefraction": ["-edgefraction=0", "-edgefraction=0.1"],
    "trim": ["-trim=false", "-notrim_is_no_flag"],
    "call_tree": ["-call_tree"],
    "relative_percentages": ["-relative_percentages"],
    "divide_by": ["-divide_by=3", "-divide_by=0.5", "-divide_by=0"],
    "drop_negative": ["-drop_negative"],
    "compact_labels": ["-compact_labels"],
    "noinlines": ["-noinlines"],
    "showcolumns": ["-showcolumns"],
    "trim_path": ["-trim_path=/usr/local/go", "-trim_path=/proc/self:/home/me/"],
    "source_path": ["-source_path=/x/proj", "-source_path=/x/src:/y/runtime"],
}

def whyrss(args, cwd):
    return ref.run([WHYRSS, "pprof"], args, cwd)


def decoded(exe, args, profile, tmp, side):
    """A binary report, as the reference prints it."""
    out = tmp / f"{side}.pb.gz"
    out.unlink(missing_ok=True)
    code, _, stderr = ref.run(exe, [*args, f"-output={out}", profile], tmp)
    if code or not out.exists():
        return code, b"", stderr
    code, text, _ = ref.run([ref.binary()], ["-raw", "-symbolize=none", out], tmp)
    return code, text, stderr


def same_graph_dot(text):
    """A dot report without its numbers: what the nodes say, and which of them the edges join."""
    nodes, lines = {}, []
    for line in text.decode().split("\n"):
        m = re.match(r"(N[\d_]+) \[(.*)\]$", line)
        if m:
            nodes[m[1]] = re.sub(r'id="[^"]*"', "", m[2])
            lines.append(nodes[m[1]])
            continue
        m = re.match(r"(N[\d_]+) -> (N[\d_]+) (\[.*)$", line)
        lines.append(m.groups() if m else line)
    return collections.Counter((nodes.get(x[0]), nodes.get(x[1]), x[2]) if isinstance(x, tuple) else x for x in lines)


def same_graph_callgrind(text):
    """A callgrind report with names written out and addresses absolute, its blocks without order."""
    names = {"ob": {}, "fl": {}, "fn": {}}
    blocks, prev, at, header = [], 0, 0, {}
    for line in text.decode().split("\n"):
        m = re.match(r"(c?)(ob|fl|fn)=(?:\((\d+)\) ?(.*))?$", line)
        if m:
            if m[3] and m[4]:
                names[m[2]][m[3]] = m[4]
            # functions of the same name are told apart by numbers in the nodes' order
            name = re.sub(r" \[\d+/\d+\]$", "", names[m[2]].get(m[3], ""))
            if not m[1]:
                header[m[2]] = name
            elif m[2] == "fl":
                blocks[-1][1].append([name])
            else:
                blocks[-1][1][-1].append(name)
            continue
        m = re.match(r"(calls=0 )?(0x[0-9a-f]+|\*|[+-]\d+) (-?\d+|\*) ?(-?\d+)?$", line)
        if not m:
            if line:
                blocks.append((line, []))
        elif m[3] == "*":
            blocks[-1][1][-1].append(m[4])
        else:
            if not m[1]:
                prev = at  # of the node before
            where = prev if m[2] == "*" else int(m[2], 16) if m[2].startswith("0x") else prev + int(m[2])
            if m[1]:
                blocks[-1][1][-1] += [where, m[3]]
            else:
                at = where
                blocks.append(((header["ob"], header["fl"], header["fn"], where, m[3], m[4]), []))
    return collections.Counter((head, tuple(sorted(map(tuple, edges)))) for head, edges in blocks)


def words(text):
    return sorted(text.split())


def compare(args, profile, tmp, retries=12):
    """None when identical; else a sentence."""
    args = ["-symbolize=none", *args]
    if any(a in PROTO for a in args):
        want = decoded([ref.binary()], args, profile, tmp, "want")
        got = decoded([WHYRSS, "pprof"], args, profile, tmp, "got")
    else:
        want = ref.reference([*args, profile], tmp)
        got = whyrss([*args, profile], tmp)
    if got[0] not in (0, 1, 2, 3):
        return f"exit {got[0]}: {got[2][-300:]!r}"
    if bool(want[0]) != bool(got[0]):
        return f"exit {got[0]}, reference {want[0]}: {got[2][-300:]!r} / {want[2][-300:]!r}"
    if want[0] or want[1] == got[1]:
        return None
    seen = {want[1]}
    if "-call_tree" in args and "-dot" in args:
        retries *= 8  # many equal nodes to choose from: many answers
    for _ in range(retries):
        if any(a in PROTO for a in args):
            again = decoded([ref.binary()], args, profile, tmp, "want")[1]
        else:
            again = ref.reference([*args, profile], tmp, fresh=True)[1]
        if again == got[1]:
            return None
        seen.add(again)
    if len(seen) > 1 and "-call_tree" in args and "-dot" in args:
        # which of equal nodes are left out is a matter of chance: ours has what all answers have, and nothing that none has
        forms = [same_graph_dot(x) for x in seen]
        ours = same_graph_dot(got[1])
        some = functools.reduce(lambda a, b: a | b, forms)
        if not functools.reduce(lambda a, b: a & b, forms) - ours and not ours - some:
            return None
    form = same_graph_dot if "-dot" in args else same_graph_callgrind if "-callgrind" in args else words
    if len(seen) > 1 and any(form(x) == form(got[1]) for x in seen):
        return None  # the same content in another order than the many that the reference has
    return f"differs ({len(seen)} answers of the reference): {first_difference(want[1], got[1])}"


def first_difference(want, got):
    a, b = want.split(b"\n"), got.split(b"\n")
    for i, (x, y) in enumerate(itertools.zip_longest(a, b)):
        if x != y:
            return f"line {i + 1}: {x!r} != {y!r}"
    return "nowhere"


def profiles():
    return ref.testdata() + ref.captured() + ref.made()


def cases(full):
    """(profile, arguments). The short form takes every option and every report with some profile."""
    out = []
    for p in profiles():
        for report in TEXT + PROTO:
            singles = [()] + [(o,) for values in OPTIONS.values() for o in values]
            pairs = [(a, b) for (_, x), (_, y) in itertools.combinations(OPTIONS.items(), 2) for a in x[:2] for b in y[:2]]
            for options in singles + pairs:
                # a fixed part of all, spread evenly
                h = zlib.crc32(f"{p.name} {report} {options}".encode())
                if len(options) < 2:
                    chosen = full or h % 150 == 0 or (not options and h % 6 == 0)
                else:
                    chosen = h % (40 if full else 15000) == 0
                if chosen:
                    out.append((p, [report, *options]))
    return out


def first_look(cases, shard):
    """The cases that differ at first sight; most do not, and those need no process of the reference."""
    tmp = ref.CACHE / "cwd" / f"first{shard}"
    tmp.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps({"I": i, "Args": ["-symbolize=none", *a, str(p)]}) + "\n" for i, (p, a) in enumerate(cases))
    r = subprocess.run([ref.differ(), WHYRSS], input=lines, capture_output=True, text=True, cwd=tmp, env=ref.ENV)
    assert r.returncode == 0 and r.stdout.count("\n") == len(cases), r.stderr[-2000:]
    return [cases[int(line.split()[0])] for line in r.stdout.splitlines() if line.endswith("differs")]


def check(wanted):
    workers = threading.local()
    numbers = itertools.count()

    def one(case):
        if not hasattr(workers, "tmp"):
            workers.tmp = ref.CACHE / "cwd" / str(next(numbers))
            workers.tmp.mkdir(parents=True, exist_ok=True)
        return compare(case[1], case[0], workers.tmp)

    # made/large without trimming: the reference takes minutes for its graph
    wanted = [(p, a) for p, a in wanted if not ("large" in p.name and a[0] in ("-dot", "-peek=.") and "-trim=false" in a)]
    kinds = collections.Counter(a[0] for _, a in wanted)
    n = len(wanted)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        if n > 5000:
            wanted = sum(pool.map(first_look, (wanted[::2], wanted[1::2]), range(2)), [])
        answers = list(pool.map(one, wanted))
    bad = [f"{' '.join(a)} {p}: {why}" for (p, a), why in zip(wanted, answers) if why]
    print(f"\n{n - len(bad)} of {n} identical; " + ", ".join(f"{k} {v}" for k, v in sorted(kinds.items())))
    assert not bad, f"{len(bad)} of {n} differ:\n" + "\n".join(bad[:40])


def test_reports():
    check(cases(False))


@pytest.mark.full
def test_reports_full():
    check(cases(True))
