"""Where `whyrss pprof` takes profiles from: the same requests and answers as google/pprof over HTTP, several sources, a PID, a core."""
import gzip
import http.server
import os
import ssl
import subprocess
import threading
import time

import pytest

import pprof_ref as ref
from conftest import WHYRSS
from demos import Demo, build
from test_core import gcore, no_large_files_left  # noqa: F401: a fixture


def nameless():
    """A profile of addresses alone."""
    p = ref.Profile([("samples", "count")], period=1, period_type=("cpu", "nanoseconds"))
    m = p.mapping("/nowhere/prog", flags=(0, 0, 0, 0))
    locations = [p.location([], 0x400000 + 16 * i, m) for i in range(1, 6)]
    for i, at in enumerate(locations):
        p.sample([at, locations[0]], [i + 1])
    return gzip.compress(p.encode(), mtime=0)


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def answer(self, body, code=200):
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.server.seen.append(f"GET {self.path}")
        path = self.path.split("?")[0]
        if path == "/slow":
            time.sleep(20)
        if path in ("/debug/pprof/heap", "/debug/pprof/profile"):
            kind = "heap" if path.endswith("heap") else "cpu"
            self.answer(next(p for p in ref.captured() if p.name == f"{kind}.pb.gz").read_bytes())
        elif path == "/pprof/profile":
            self.answer(nameless())
        else:
            self.answer(b"no such thing here", 404)

    def do_POST(self):
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.seen.append(f"POST {self.path} {asked}")
        self.answer("".join(f"{a} function_{int(a, 16) & 0xff:x}\n" for a in asked.split("+")).encode())


@pytest.fixture
def server(tmp_path):
    yield from serve(tmp_path, False)


@pytest.fixture
def tls_server(tmp_path):
    yield from serve(tmp_path, True)


def serve(tmp_path, tls):
    s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    s.seen = []
    if tls:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem", "-days", "2",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
        s.socket = context.wrap_socket(s.socket, server_side=True)
        s.handle_error = lambda *args: None  # a client that does not trust it
    threading.Thread(target=s.serve_forever, daemon=True).start()
    yield s
    s.shutdown()
    s.server_close()


def both(server, args, tmp_path):
    """Exit code, stdout, requests and names of saved files of each side."""
    sides = []
    for side, exe in (("want", [ref.binary()]), ("got", [WHYRSS, "pprof"])):
        server.seen.clear()
        kept = tmp_path / f"kept-{side}-{len(list(tmp_path.iterdir()))}"
        kept.mkdir()
        r = subprocess.run([*map(str, exe), *map(str, args)], capture_output=True, cwd=tmp_path, env=dict(ref.ENV, PPROF_TMPDIR=str(kept)), timeout=60,
                           stdin=subprocess.DEVNULL)
        sides.append((r.returncode, r.stdout, sorted(server.seen), sorted(p.name for p in kept.iterdir()), r.stderr.decode()))
    return sides


def same(server, args, tmp_path):
    want, got = both(server, args, tmp_path)
    assert got[1:4] == want[1:4], (args, got[4], want[4])
    assert bool(want[0]) == (got[0] in (1, 2)), (args, got[0], got[4], want[4])
    return got


def test_urls(server, tmp_path):
    base = f"http://127.0.0.1:{server.server_port}"
    code, out, seen, kept, _ = same(server, ["-top", f"{base}/debug/pprof/heap"], tmp_path)
    assert code == 0 and b"main.recurse" in out and seen == ["GET /debug/pprof/heap"] and len(kept) == 1 and kept[0].startswith("pprof.")
    same(server, ["-top", "-seconds=1", base[7:]], tmp_path)  # a host alone
    assert same(server, ["-top", "-seconds=1", f"{base}/debug/pprof/profile"], tmp_path)[2] == ["GET /debug/pprof/profile?seconds=1"]
    same(server, ["-top", "-seconds=2", f"{base}/debug/pprof/heap?gc=1"], tmp_path)
    same(server, ["-raw", f"{base}/debug/pprof/heap", f"{base}/debug/pprof/heap"], tmp_path)
    same(server, ["-top", "-base", f"{base}/debug/pprof/heap", f"{base}/debug/pprof/heap"], tmp_path)
    same(server, ["-top", f"{base}/nothing-here"], tmp_path)


def test_one_of_several_fails(server, tmp_path):
    base = f"http://127.0.0.1:{server.server_port}"
    got = same(server, ["-top", f"{base}/debug/pprof/heap", f"{base}/nothing-here", tmp_path / "missing"], tmp_path)
    assert got[0] == 3 and "1 source profiles out of 3" in got[4]


def test_timeout(server, tmp_path):
    started = time.time()
    got = subprocess.run([WHYRSS, "pprof", "-top", "-timeout=1", f"http://127.0.0.1:{server.server_port}/slow"], capture_output=True, env=ref.ENV, timeout=60)
    assert got.returncode == 1 and got.stderr.count(b"whyrss:") == 1 and time.time() - started < 18


def test_names_from_the_program(server, tmp_path):
    """Addresses are asked of the program's own symbol handler."""
    base = f"http://127.0.0.1:{server.server_port}"
    got = same(server, ["-raw", f"{base}/pprof/profile"], tmp_path)
    assert any(s.startswith("POST /pprof/symbol 0x") for s in got[2]) and b"function_10" in got[1]
    assert not [s for s in same(server, ["-raw", "-symbolize=none", f"{base}/pprof/profile"], tmp_path)[2] if "POST" in s]
    same(server, ["-raw", "-symbolize=local", f"{base}/pprof/profile"], tmp_path)
    same(server, ["-raw", "-symbolize=remote", f"{base}/pprof/profile"], tmp_path)
    same(server, ["-raw", "-symbolize=remote:force", f"{base}/pprof/profile"], tmp_path)


def test_tls(tls_server, tmp_path):
    port = tls_server.server_port
    assert same(tls_server, ["-top", f"https+insecure://localhost:{port}/debug/pprof/heap"], tmp_path)[0] == 0
    assert same(tls_server, ["-top", f"-tls_ca={tmp_path}/cert.pem", f"https://localhost:{port}/debug/pprof/heap"], tmp_path)[0] == 0
    assert same(tls_server, ["-top", f"https://localhost:{port}/debug/pprof/heap"], tmp_path)[0] == 1
    assert same(tls_server, ["-top", f"-tls_cert={tmp_path}/cert.pem", f"-tls_key={tmp_path}/key.pem", f"-tls_ca={tmp_path}/cert.pem",
                             f"https://localhost:{port}/debug/pprof/heap"], tmp_path)[0] == 0


def pprof(*args, **env):
    return subprocess.run([WHYRSS, "pprof", *map(str, args)], capture_output=True, text=True, env=dict(ref.ENV, **env), timeout=120, stdin=subprocess.DEVNULL)


def test_perf_data(tmp_path):
    (tmp_path / "perf.data").write_bytes(b"PERFILE2" + bytes(100))
    r = pprof("-top", tmp_path / "perf.data")
    assert r.returncode == 1 and "perf_to_profile" in r.stderr and r.stderr.count("\n") == 1


def test_limit():
    """-max-memory says which limit it was."""
    r = pprof("-top", "-max-memory=100KB", next(p for p in ref.made() if p.name == "large.pb.gz"))
    assert r.returncode == 1 and r.stderr.startswith("whyrss: ") and "more than 97.7 KiB; -max-memory" in r.stderr, r.stderr


def test_process_and_core(tmp_path):
    with Demo(build("profiles", "local")) as d:
        live = pprof("-top", "-nodecount=5", d.pid)
        assert live.returncode == 0 and "Type: inuse_space" in live.stdout and "main." in live.stdout, live.stderr
        twice = pprof("-comments", d.pid, d.pid)
        assert twice.returncode == 0, twice.stderr
        core = gcore(d.pid, tmp_path)
        from_core = pprof("-top", "-nodecount=5", core)
        assert from_core.returncode == 0 and "main." in from_core.stdout, from_core.stderr
        both = pprof("-top", "-base", core, d.pid)
        assert both.returncode == 0, both.stderr
    os.unlink(core)
