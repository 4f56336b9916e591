"""google/pprof as the reference: built once, its answers kept, its own test data, and profiles made to be awkward."""
import gzip
import hashlib
import os
import pathlib
import pickle
import random
import shutil
import subprocess

VERSION = "v0.0.0-20261016150608-1facf8f91b50"
CACHE = pathlib.Path(os.environ.get("WHYRSS_PPROF_REF", "/tmp/whyrss-pprof-ref")) / VERSION
DIFFER = pathlib.Path(__file__).resolve().parent / "pprofdiff"
GENERATOR = pathlib.Path(__file__).resolve().parent / "pprofgen"
ENV = dict(os.environ, TZ="Europe/Berlin", HOME="/nonexistent", PPROF_TMPDIR="/tmp", PPROF_BINARY_PATH="/nonexistent", BROWSER="true")


def go(*args, cwd):
    return subprocess.run(["go", *args], cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()


def module():
    """The folder with a go.mod that requires the reference."""
    CACHE.mkdir(parents=True, exist_ok=True)
    if not (CACHE / "go.mod").exists():
        (CACHE / "go.mod.new").write_text("module ref\n\ngo 1.24\n")
        (CACHE / "go.mod.new").rename(CACHE / "go.mod")
    if not (CACHE / "go.sum").exists():
        go("get", f"github.com/google/pprof@{VERSION}", cwd=CACHE)
    return CACHE


def binary():
    exe = CACHE / "pprof"
    if not exe.exists():
        go("build", "-o", str(exe) + ".new", "github.com/google/pprof", cwd=module())
        os.rename(str(exe) + ".new", exe)
    return exe


def differ():
    """pprofdiff: it calls the reference's inside, so it is built within a copy of its module."""
    exe = CACHE / "pprofdiff"
    if not exe.exists() or exe.stat().st_mtime < (DIFFER / "main.go").stat().st_mtime:
        copy = CACHE / "src"
        if not (copy / "go.mod").exists():
            shutil.copytree(source(), copy, dirs_exist_ok=True)
        for folder in (copy, *(p for p in copy.rglob("*") if p.is_dir())):
            folder.chmod(0o755)
        (copy / "pprofdiff").mkdir(exist_ok=True)
        (copy / "pprofdiff" / "main.go").write_text((DIFFER / "main.go").read_text())
        go("build", "-o", str(exe) + ".new", "./pprofdiff", cwd=copy)
        os.rename(str(exe) + ".new", exe)
    return exe


def source():
    return pathlib.Path(go("list", "-m", "-f", "{{.Dir}}", "github.com/google/pprof", cwd=module()))


def captured():
    """Profiles of a real program, of every kind."""
    out = CACHE / "captured"
    if not (out / "block.txt").exists():
        out.mkdir(exist_ok=True)
        exe = CACHE / "pprofgen"
        subprocess.run(["go", "build", "-o", exe, "main.go"], cwd=GENERATOR, check=True)
        subprocess.run([exe, out], check=True, timeout=120)
    return sorted(out.iterdir())


def run(exe, args, cwd, timeout=120):
    r = subprocess.run([*map(str, exe), *map(str, args)], capture_output=True, cwd=cwd, env=ENV, timeout=timeout, stdin=subprocess.DEVNULL)
    return r.returncode, r.stdout, r.stderr


def reference(args, cwd, fresh=False):
    """Exit code, stdout, stderr; remembered between runs of the tests."""
    exe = binary()
    key = hashlib.sha256(repr([list(map(str, args)), str(cwd), [(os.path.getmtime(a), os.path.getsize(a)) for a in args if os.path.isfile(a)]]).encode()).hexdigest()
    at = CACHE / "answers" / key[:2] / key
    if at.exists() and not fresh:
        return pickle.loads(at.read_bytes())
    r = run([exe], args, cwd)
    if not fresh:
        at.parent.mkdir(parents=True, exist_ok=True)
        tmp = at.with_suffix(f".{os.getpid()}")
        tmp.write_bytes(pickle.dumps(r))
        tmp.rename(at)
    return r


# --- profile.proto by hand ---

def varint(v):
    v &= (1 << 64) - 1
    out = b""
    while v >= 0x80:
        out += bytes([v & 0x7F | 0x80])
        v >>= 7
    return out + bytes([v])


def num(field, v):
    return varint(field << 3) + varint(v) if v else b""


def blob(field, b):
    return varint(field << 3 | 2) + varint(len(b)) + b


def packed(field, vs):
    return blob(field, b"".join(map(varint, vs))) if vs else b""


class Profile:
    """Writes what google/pprof reads; nothing is checked, so that it can also be wrong."""

    def __init__(self, types, **scalars):
        self.strings = {"": 0}
        self.types, self.scalars = types, scalars
        self.samples, self.mappings, self.locations, self.functions, self.comments = [], [], [], [], []

    def s(self, text):
        return self.strings.setdefault(text, len(self.strings))

    def mapping(self, file, start=0x400000, limit=0x500000, offset=0, build_id="", flags=(1, 1, 1, 1)):
        i = len(self.mappings) + 1
        self.mappings.append(num(1, i) + num(2, start) + num(3, limit) + num(4, offset) + num(5, self.s(file)) + num(6, self.s(build_id)) +
                             b"".join(num(7 + k, f) for k, f in enumerate(flags)))
        return i

    def function(self, name, file="", start=0, system=None):
        i = len(self.functions) + 1
        self.functions.append(num(1, i) + num(2, self.s(name)) + num(3, self.s(name if system is None else system)) + num(4, self.s(file)) + num(5, start))
        return i

    def location(self, lines, address=0, mapping=0, folded=0):
        """lines: (function, line, column), innermost first"""
        i = len(self.locations) + 1
        self.locations.append(num(1, i) + num(2, mapping) + num(3, address) +
                              b"".join(blob(4, num(1, f) + num(2, n) + num(3, c)) for f, n, c in lines) + num(5, folded))
        return i

    def sample(self, locations, values, labels=()):
        """labels: (key, text) or (key, number, unit)"""
        out = b""
        for label in labels:
            if isinstance(label[1], str):
                out += blob(3, num(1, self.s(label[0])) + num(2, self.s(label[1])))
            else:
                out += blob(3, num(1, self.s(label[0])) + num(3, label[1]) + num(4, self.s(label[2])))
        self.samples.append(packed(1, locations) + packed(2, values) + out)

    def encode(self):
        sc = self.scalars
        body = b"".join(blob(1, num(1, self.s(t)) + num(2, self.s(u))) for t, u in self.types)
        body += b"".join(blob(2, x) for x in self.samples) + b"".join(blob(3, x) for x in self.mappings)
        body += b"".join(blob(4, x) for x in self.locations) + b"".join(blob(5, x) for x in self.functions)
        tail = num(7, self.s(sc.get("drop", ""))) + num(8, self.s(sc.get("keep", ""))) + num(9, sc.get("time", 0)) + num(10, sc.get("duration", 0))
        if "period_type" in sc:
            t, u = sc["period_type"]
            tail += blob(11, num(1, self.s(t)) + num(2, self.s(u)))
        tail += num(12, sc.get("period", 0)) + packed(13, [self.s(c) for c in self.comments])
        tail += num(14, self.s(sc.get("default", ""))) + num(15, self.s(sc.get("doc", "")))
        return body + b"".join(blob(6, s.encode("utf-8", "surrogateescape")) for s in self.strings) + tail

    def write(self, path):
        path.write_bytes(gzip.compress(self.encode(), 1, mtime=0))


NAMES = ["main.main", "main.(*server).handle", "main.(*tree[...]).insert", "github.com/a/b-c.d/v2/pkg.Func.func1", "std::vector<int>::push_back(int const&)",
         "(anonymous namespace)::Foo::Bar", "java.util.HashMap.put(Object)", "com.example.Foo.<init>", "runtime.mallocgc", "operator()", "a\"quote\\back",
         "no-dots", "Namespace::Class::~Class<T>::x", "golang.org/x/net/http2.(*Framer).ReadFrame", "名前.函数", "foo(bar)::baz", "x/y/v10/z.W", "_start", "with space.x"]
FILES = ["/usr/local/go/src/runtime/malloc.go", "/proc/self/cwd/a/b.cc", "./rel/../x.go", "main.go", "", "/home/me/src/proj/proj/main.go", "proj//sub/x.go"]


def synthetic(seed, types, n_functions=30, n_locations=60, n_samples=120, labels=True, negative=False, wide=10**9, **scalars):
    """A profile of everything that the format allows, the same for the same seed."""
    rnd = random.Random(seed)
    p = Profile(types, **scalars)
    maps = [p.mapping("/usr/bin/app", build_id="abcd1234"), p.mapping("[vdso]", 0x7fff0000, 0x7fff1000, flags=(0, 0, 0, 0)), p.mapping("", 0x600000, 0x700000)]
    fns = []
    for i in range(n_functions):
        name = rnd.choice(NAMES) + ("" if rnd.random() < .5 else str(rnd.randrange(5)))
        fns.append(p.function(name, rnd.choice(FILES), rnd.choice([0, 0, 5, 10]), system=rnd.choice([name, "_Z" + name])))
    locs = []
    for i in range(n_locations):
        depth = rnd.choice([0, 1, 1, 1, 1, 2, 3])
        locs.append(p.location([(rnd.choice(fns), rnd.choice([0, 1, 7, 20, 33]), rnd.choice([0, 0, 4])) for _ in range(depth)],
                               rnd.choice([0, 0x400000 + 16 * i, 0x400000 + i]), rnd.choice(maps + [0, maps[0]]), rnd.random() < .1))
    for i in range(n_samples):
        stack = [rnd.choice(locs[:1 + len(locs) // rnd.choice([1, 1, 3, 10])]) for _ in range(rnd.choice([0, 1, 3, 5, 8, 12]))]
        values = [rnd.choice([0, 1, rnd.randrange(100), rnd.randrange(wide)]) * (-1 if negative and rnd.random() < .4 else 1) for _ in types]
        ls = []
        if labels:
            if rnd.random() < .5:
                ls.append(("key", rnd.choice(["a", "b", "a b", "x:y", "long value with spaces", "名"])))
            if rnd.random() < .2:
                ls.append(("key", "second"))
            if rnd.random() < .3:
                ls.append(("other key", rnd.choice(["1", "2", "-3"])))
            if rnd.random() < .5:
                ls.append(("bytes", rnd.choice([16, 64, 1024, 4096, 1 << 20, 100, 3000]), rnd.choice(["bytes", "", "bytes"])))
            if rnd.random() < .3:
                ls.append(("request", rnd.randrange(5000), rnd.choice(["", "kilobytes"])))
            if rnd.random() < .3:
                ls.append(("latency", rnd.randrange(10**9), "ns"))
            if rnd.random() < .1:
                ls.append(("latency", rnd.randrange(10**3), "ms"))
        p.sample(stack, values, ls)
    for c in rnd.sample(["a comment", "#hidden comment", "two\nlines", "tab\there"], 2):
        p.comments.append(c)
    return p


def made():
    """The awkward profiles, as files."""
    out = CACHE / "made"
    out.mkdir(parents=True, exist_ok=True)
    heap = [("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_objects", "count"), ("inuse_space", "bytes")]
    cpu = [("samples", "count"), ("cpu", "nanoseconds")]
    profiles = {
        "heap": synthetic(1, heap, default="inuse_space", time=1700000000123456789, period=524288, period_type=("space", "bytes")),
        "cpu": synthetic(2, cpu, time=1650000000000000000, duration=10123456789, period=10000000, period_type=("cpu", "nanoseconds"), doc="https://example.org/doc"),
        "negative": synthetic(3, heap, negative=True),
        "negative-cpu": synthetic(4, cpu, negative=True, duration=5 * 10**9, labels=False),
        "units": synthetic(5, [("thing", "widgets"), ("gcu", "milligcu"), ("t", "\u03bcs"), ("empty", "")], wide=10**6),
        "large": synthetic(6, cpu, n_functions=400, n_locations=1500, n_samples=4000, wide=10**7),
        "tiny": synthetic(7, cpu, n_functions=2, n_locations=3, n_samples=2),
        "huge-values": synthetic(8, heap, wide=1 << 60, labels=False),
        "drop": synthetic(9, cpu, drop="runtime.*|operator\\(\\)", keep="runtime.mallocgc1"),
        "one": synthetic(10, [("contentions", "count"), ("delay", "nanoseconds")], period_type=("contentions", "count"), period=1),
    }
    empty = Profile(cpu, time=1)
    profiles["empty"] = empty
    paths = []
    for name, p in profiles.items():
        path = out / f"{name}.pb.gz"
        data = gzip.compress(p.encode(), 1, mtime=0)
        if not path.exists() or path.read_bytes() != data:
            path.write_bytes(data)
        paths.append(path)
    return paths


def testdata():
    """The reference's own profiles, its text formats included."""
    top = source()
    files = []
    for folder in ["profile/testdata", "internal/driver/testdata", "internal/report/testdata", "internal/proftest/testdata"]:
        for f in sorted((top / folder).iterdir()):
            if f.is_file() and f.suffix in (".cpu", ".heap", ".contention", ".growth", ".thread", ".all", ".none", ".crash", ".cpu_no_samples_type"):
                files.append(f)
    return files


def converted(path):
    """The same as profile.proto, by the reference; None where it can't read it."""
    out = CACHE / "converted" / f"{path.parent.parent.name}-{path.name}.pb.gz"
    if not out.exists():
        out.parent.mkdir(exist_ok=True)
        run([binary()], ["-proto", "-symbolize=none", f"-output={out}", path], "/")
    return out if out.exists() and out.stat().st_size else None
