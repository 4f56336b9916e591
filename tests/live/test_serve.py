"""whyrss serve: the same answers as the command line's, net/http/pprof's endpoints, /metrics, limits and guards."""
import asyncio
import gzip
import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pprofpb
import pytest
from conftest import ROOT, WHYRSS, check_sums, view, whyrss
from demos import Demo, build
from serve import Server

VIEWS = ("ledger", "spans", "goroutines", "maps", "memstats")


@pytest.fixture(scope="module")
def demo():
    with Demo(build("profiles"), timeout=120) as d:
        yield d


@pytest.fixture(scope="module")
def server(demo):
    with Server() as s:
        yield s


def shape(v):
    """Keys and kinds, without the values that move."""
    if isinstance(v, dict):
        return {k: shape(x) for k, x in v.items()}
    if isinstance(v, list):
        return [shape(v[0])] if v else []
    return "number" if isinstance(v, (int, float)) and not isinstance(v, bool) else type(v).__name__


@pytest.mark.parametrize("name", VIEWS)
def test_the_same_json_as_the_command_line(server, demo, name):
    a, b = server.json(f"/api/1/pid/{demo.pid}/{name}"), view(name, demo.pid)
    assert list(a) == list(b) and a["schema"] == b["schema"] == f"whyrss.{name}/1"
    assert a["target"] == b["target"]
    if name == "ledger":
        check_sums(a)
        assert shape(a["lines"]) == shape(b["lines"]) and shape(a["bridge"]) == shape(b["bridge"])
    if name == "spans":  # with options, as on the command line
        one = server.json(f"/api/1/pid/{demo.pid}/spans?sort=tail_bytes&limit=1")
        assert len(one["classes"]) == 1


def test_processes_and_csv(server, demo):
    p = server.json("/api/1/processes")
    assert p["schema"] == "whyrss.processes/1" and demo.pid in [x["pid"] for x in p["processes"]]
    status, headers, body = server.ask(f"/api/1/pid/{demo.pid}/spans?csv=1")
    assert status == 200 and headers["Content-Type"].startswith("text/csv") and body.startswith(b"class,size,")


def test_one_snapshot_is_shared(server, demo):
    ats = {server.json(f"/api/1/pid/{demo.pid}/{v}?max_age=60000")["read"]["at"] for v in VIEWS}
    assert len(ats) == 1
    start = time.time()
    for _ in range(20):
        server.json(f"/api/1/pid/{demo.pid}/ledger?max_age=60000")
    assert (time.time() - start) / 20 < 0.1, "an answer from the last snapshot takes 100 ms"


def test_errors_are_one_sentence(server, demo):
    for path, status in [("/api/1/pid/999999999/ledger", 404), (f"/api/1/pid/{os.getpid()}/ledger", 404), ("/api/1/pid/0/ledger", 404),
                         (f"/api/1/pid/{demo.pid}/nonsense", 404), (f"/api/1/pid/{demo.pid}/ledger?freeze=1", 403),
                         (f"/api/1/pid/{demo.pid}/spans?sort=nonsense", 400), (f"/api/1/pid/{demo.pid}/ledger?nonsense=1", 400),
                         (f"/api/1/pid/{demo.pid}/profile?output=/tmp/x", 400), ("/nonsense", 404), ("/assets/../web.c", 404),
                         (f"/api/1/pid/{demo.pid}/at?address=zz", 400)]:
        code, _, body = server.ask(path)
        assert code == status, (path, code, body)
        assert set(json.loads(body)) == {"error"}, path


def test_hosts_and_origins(server):
    port = server.port
    for host, status in [(f"127.0.0.1:{port}", 200), (f"localhost:{port}", 200), ("localhost", 200), ("LOCALHOST:1", 200), ("evil.example", 403),
                         (f"evil.example:{port}", 403), ("127.0.0.1.evil.example", 403), ("127.0.0.2", 403), ("", 403), ("[::1]:80", 403), ("local host", 403)]:
        assert server.ask("/", {"Host": host})[0] == status, host
    own = f"http://127.0.0.1:{port}"
    for headers, status in [({"Origin": own}, 200), ({"Origin": "http://evil.example"}, 403), ({"Origin": "null"}, 403), ({"Origin": f"http://127.0.0.1:{port + 1}"}, 403),
                            ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403), ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
                            ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200), ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200)]:
        assert server.ask("/api/1/processes", headers)[0] == status, headers
    with Server("--allow-host", "box.example,other.example") as s:
        assert s.ask("/", {"Host": "box.example:99"})[0] == 200
        assert s.ask("/", {"Host": "evil.example"})[0] == 403


def test_every_answer_has_a_strict_policy(server):
    for path in ("/", "/assets/app.js", "/api/1/processes", "/nonsense", "/metrics"):
        h = server.ask(path)[1]
        assert "default-src 'none'" in h["Content-Security-Policy"] and "unsafe" not in h["Content-Security-Policy"]
        assert h["X-Content-Type-Options"] == "nosniff" and h["Cross-Origin-Resource-Policy"] == "same-origin"


def test_another_address_needs_a_token(tmp_path):
    """In a network of its own, which has loopback only: nothing outside can reach it."""
    if os.geteuid() != 0:
        pytest.skip("needs root to make a network namespace")
    script = f"""ip link set lo up; {WHYRSS} serve --listen 0.0.0.0:8601 > {tmp_path}/said & P=$!
    for i in $(seq 100); do grep -q Ctrl-C {tmp_path}/said && break; sleep 0.1; done
    T=$(sed -n 's/.*token=//p' {tmp_path}/said | head -1)
    C="curl -s -o /dev/null -w %{{http_code}}\\n"
    $C http://127.0.0.1:8601/api/1/processes
    $C -H "Authorization: Bearer $T" http://127.0.0.1:8601/api/1/processes
    $C -H "Authorization: Bearer ${{T}}x" http://127.0.0.1:8601/api/1/processes
    $C "http://127.0.0.1:8601/api/1/processes?token=$T"
    $C -u "any:$T" http://127.0.0.1:8601/api/1/processes
    $C -H "Cookie: a=b; whyrss_token=$T" http://127.0.0.1:8601/api/1/processes
    $C -H "Cookie: xwhyrss_token=$T" http://127.0.0.1:8601/api/1/processes
    curl -s -i "http://127.0.0.1:8601/?token=$T" | grep -ciE "^(location: /|set-cookie: .*httponly; samesite=strict)"
    kill $P; wait $P"""
    r = subprocess.run(["unshare", "-n", "sh", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert r.stdout.split() == ["401", "200", "401", "200", "200", "200", "401", "2"], (r.stdout, r.stderr)
    said = (tmp_path / "said").read_text()
    assert re.search(r"token=[0-9a-f]{32}\n", said) and "without TLS" in said


def test_tls(tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2", "-keyout", tmp_path / "key.pem",
                    "-out", tmp_path / "cert.pem"], check=True, capture_output=True)
    with Server("--tls-cert", tmp_path / "cert.pem", "--tls-key", tmp_path / "key.pem") as s:
        assert s.url.startswith("https://")
        r = subprocess.run(["curl", "-s", "--cacert", tmp_path / "cert.pem", f"https://localhost:{s.port}/api/1/processes"], capture_output=True, text=True, check=False)
        assert json.loads(r.stdout)["schema"] == "whyrss.processes/1"
    (tmp_path / "key.pem").write_text("no key")
    code, _, err = whyrss("serve", "--listen", "127.0.0.1:0", "--tls-cert", tmp_path / "cert.pem", "--tls-key", tmp_path / "key.pem", check=False)
    assert code == 1 and err.count("\n") == 1


def test_wrong_use_says_so(tmp_path):
    for args, want in [(["--listen", "nonsense:99999"], 2), (["--listen", "127.0.0.1:x"], 2), (["--tls-cert", "/x"], 2), (["--allow-host", "a b,/"], 2),
                       (["/nonexistent"], 1), ([str(ROOT / "README.md")], 1), (["--listen", "192.0.2.1:80"], 1)]:
        code, out, err = whyrss("serve", *args, check=False)
        assert code == want and out == "" and err.startswith("whyrss: ") and err.count("\n") == 1, (args, code, err)


# --- net/http/pprof ---

PROFILES = ("heap", "allocs", "goroutine", "threadcreate", "block", "mutex")


@pytest.mark.parametrize("name", PROFILES)
def test_go_tool_pprof_reads_it(server, demo, name, tmp_path):
    url = f"{server.url}/pid/{demo.pid}/debug/pprof/{name}"
    status, headers, body = server.ask(f"/pid/{demo.pid}/debug/pprof/{name}")
    assert status == 200 and headers["Content-Type"] == "application/octet-stream"
    assert headers["Content-Disposition"] == f'attachment; filename="{name}"' and headers["X-Content-Type-Options"] == "nosniff"
    assert gzip.decompress(body)
    r = subprocess.run(["go", "tool", "pprof", "-top", "-nodecount=5", url], capture_output=True, text=True, timeout=120, check=False,
                       env={**os.environ, "PPROF_TMPDIR": str(tmp_path), "GOTOOLCHAIN": "local"})
    assert r.returncode == 0, r.stderr
    assert "flat%" in r.stdout or "flat  flat%" in r.stdout, r.stdout


def test_debug_texts_and_memstats(server, demo):
    base = f"/pid/{demo.pid}/debug/pprof/"
    status, headers, body = server.ask(base + "heap?debug=1")
    text = body.decode()
    assert status == 200 and headers["Content-Type"] == "text/plain; charset=utf-8"
    assert text.startswith("heap profile: ")
    block = text[text.index("# runtime.MemStats"):].splitlines()
    names = [line.split(" = ")[0][2:] for line in block[1:]]
    assert names == ["Alloc", "TotalAlloc", "Sys", "Lookups", "Mallocs", "Frees", "HeapAlloc", "HeapSys", "HeapIdle", "HeapInuse", "HeapReleased", "HeapObjects",
                     "Stack", "MSpan", "MCache", "BuckHashSys", "GCSys", "OtherSys", "NextGC", "LastGC", "PauseNs", "PauseEnd", "NumGC", "NumForcedGC",
                     "GCCPUFraction", "DebugGC", "MaxRSS"]
    assert int(block[1].split(" = ")[1]) > 0
    assert server.ask(base + "heap?debug=2")[2].startswith(b"heap profile: ")
    g = server.ask(base + "goroutine?debug=2")[2].decode()
    assert re.match(r"goroutine \d+ \[", g)
    assert server.ask(base + "goroutine?debug=1")[2].startswith(b"goroutine profile: total ")
    assert server.ask(base + "cmdline")[2] == open(f"/proc/{demo.pid}/cmdline", "rb").read().rstrip(b"\0")


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A program that imports net/http/pprof: (pid, its port)."""
    exe = tmp_path_factory.mktemp("real") / "httppprof"
    subprocess.run(["go", "build", "-o", exe, ROOT / "tests/live/httppprof/main.go"], check=True, timeout=300, env={**os.environ, "GOFLAGS": "-buildvcs=false", "CGO_ENABLED": "0"}, cwd=exe.parent)
    p = subprocess.Popen([exe, "<a b>", ""], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        yield p.pid, int(p.stdout.readline().rsplit(":", 1)[1])
    finally:
        p.kill()
        p.wait()


def ask_real(port, path):
    r = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    try:
        with urllib.request.urlopen(r, timeout=60) as a:
            return a.status, a.headers, a.read()
    except urllib.error.HTTPError as e:
        return e.code, e.headers, e.read()


def test_the_real_one_answers_alike(server, real):
    """Status, headers and errors are net/http/pprof's; the block of MemStats has its form to the byte, and the numbers that stand still."""
    pid, port = real
    for path in ("heap", "allocs", "goroutine", "threadcreate", "block", "mutex", "heap?debug=1", "heap?debug=2", "goroutine?debug=1", "goroutine?debug=2", "cmdline", "allocs?seconds=1",
                 "heap?seconds=1&debug=1", "heap?seconds=-1", "heap?seconds=x", "heap?seconds=0", "nonsense", "nonsense?debug=1"):
        a, b = server.ask(f"/pid/{pid}/debug/pprof/{path}"), ask_real(port, f"/debug/pprof/{path}")
        assert a[0] == b[0], (path, a[0], b[0], a[2][:200], b[2][:200])
        for h in ("Content-Type", "Content-Disposition", "X-Content-Type-Options", "X-Go-Pprof"):
            assert a[1][h] == b[1][h], (path, h, a[1][h], b[1][h])
        if path == "cmdline" or a[0] != 200:
            assert a[2] == b[2], path

    def block(text):
        return text[text.index("# runtime.MemStats"):]
    a, b = block(server.ask(f"/pid/{pid}/debug/pprof/heap?debug=1")[2].decode()), block(ask_real(port, "/debug/pprof/heap?debug=1")[2].decode())
    form = lambda t: re.sub(r"[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?", "N", t)
    assert form(a) == form(b)
    number = lambda t: {k: v for k, v in re.findall(r"^# (\w+) = (.*)$", t, re.M)}
    a, b = number(a), number(b)
    still = ["Lookups", "NextGC", "LastGC", "PauseNs", "PauseEnd", "NumGC", "NumForcedGC", "DebugGC"]
    if a["NumGC"] == b["NumGC"]:
        assert {k: a[k] for k in still} == {k: b[k] for k in still}
    assert abs(int(a["Alloc"]) - int(b["Alloc"])) < 4 << 20
    # getrusage keeps what the process had been before exec, this pytest's size: ours is that of the program, VmHWM.
    assert 4 << 20 < int(a["MaxRSS"]) < int(b["MaxRSS"]) + (4 << 20)


def test_symbol(server, demo):
    g = server.ask(f"/pid/{demo.pid}/debug/pprof/goroutine?debug=1")[2].decode()
    pcs = re.findall(r"^#\t(0x[0-9a-f]+)\t(\S+?)\+0x", g, re.M)[:3]
    assert pcs
    for send in ({"path": "?" + "+".join(p for p, _ in pcs)}, {"data": "+".join(p for p, _ in pcs).encode(), "path": ""}):
        status, _, body = server.ask(f"/pid/{demo.pid}/debug/pprof/symbol" + send["path"], data=send.get("data"))
        lines = body.decode().splitlines()
        assert status == 200 and lines[0] == "num_symbols: 1"
        assert [x.split(" ")[0] for x in lines[1:]] == [p for p, _ in pcs]


def test_index_lists_what_is_served(server, demo):
    status, headers, body = server.ask(f"/pid/{demo.pid}/debug/pprof/")
    text = body.decode()
    assert status == 200 and headers["Content-Type"].startswith("text/html")
    for name in PROFILES + ("cmdline", "symbol"):
        assert f'href="{name}' in text
    for name in ("profile", "trace", "goroutineleak"):
        assert f'href="{name}' not in text


def test_what_is_not_possible_says_so(server, demo):
    base = f"/pid/{demo.pid}/debug/pprof/"
    for path, status in [("profile", 501), ("trace?seconds=1", 501), ("goroutineleak", 501), ("heap?gc=1", 400), ("heap?seconds=1&debug=1", 400), ("heap?seconds=0", 400),
                         ("heap?seconds=x", 400), ("heap?seconds=-1", 400), ("heap?seconds=301", 400), ("nonsense", 404)]:
        code, headers, body = server.ask(base + path)
        assert code == status and headers["X-Go-Pprof"] == "1" and headers["Content-Type"].startswith("text/plain"), (path, code, body)
        assert body.endswith(b"\n") and body.count(b"\n") == 1


def test_seconds_gives_the_difference(server):
    """As net/http/pprof: what was allocated in between, dated and with its length; nothing where nothing was."""
    with Demo(build("churn"), timeout=120) as d:
        base = f"/pid/{d.pid}/debug/pprof/allocs"
        before = pprofpb.parse(server.ask(base)[2])
        status, headers, body = server.ask(base + "?seconds=1")
        after = pprofpb.parse(server.ask(base)[2])
    part = pprofpb.parse(body)
    assert status == 200 and headers["Content-Disposition"] == 'attachment; filename="allocs-delta"'
    assert part["types"] == before["types"] and 10**9 <= part["duration_nanos"] < 60 * 10**9
    old, delta, new = (pprofpb.totals(p)["alloc_space"] for p in (before, part, after))
    assert 0 < delta <= new - old


def test_one_target(demo):
    with Server(demo.pid) as s:
        assert s.ask("/debug/pprof/heap")[0] == 200
        assert s.ask("/debug/pprof/nonsense")[0] == 404
        assert s.ask("/debug/pprof")[0] == 200


# --- Prometheus ---

def samples(text):
    out = {}
    for line in text.splitlines():
        if line.startswith("#") or not line:
            continue
        m = re.fullmatch(r'(\w+)(?:\{(.*)\})? (\S+)', line)
        assert m, line
        labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', m[2] or ""))
        out[(m[1], tuple(sorted(labels.items())))] = float(m[3])
    return out


def test_metrics_add_up_to_rss(server, demo):
    status, headers, body = server.ask("/metrics?pid=1")
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
    s = samples(body.decode())
    mine = {dict(k[1])["line"]: v for k, v in s.items() if k[0] == "whyrss_memory_bytes" and dict(k[1]).get("pid") == str(demo.pid)}
    d = view(None, demo.pid)
    assert list(mine) == [x["id"] for x in d["lines"]]
    assert abs(sum(mine.values()) - d["os"]["rss"]) < 4 << 20
    without = samples(server.ask("/metrics")[2].decode())
    assert all("pid" not in dict(k[1]) for k in without)
    assert sum(v for k, v in without.items() if k[0] == "whyrss_processes") >= 1


@pytest.fixture(scope="module")
def prometheus():
    """Debian's, unpacked and never installed: installed, it starts a service."""
    r = subprocess.run([ROOT / "tests/live/corpus.sh", "build", "prometheus-debian"], capture_output=True, text=True, timeout=600, check=False)
    path = shutil.which("prometheus-debian", path=os.path.join(os.environ.get("WHYRSS_CORPUS", "/tmp/corpus"), "bin"))
    assert path, r.stdout + r.stderr
    return path


def test_prometheus_reads_it(server, demo, prometheus, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "p.yml").write_text(f"global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: whyrss\n  static_configs: [{{targets: ['127.0.0.1:{server.port}']}}]\n")
    p = subprocess.Popen([prometheus, "--config.file", tmp_path / "p.yml", "--storage.tsdb.path", tmp_path / "data", "--web.listen-address", f"127.0.0.1:{port}"],
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end, value = time.time() + 60, None
        while time.time() < end and value is None:
            time.sleep(1)
            r = subprocess.run(["curl", "-s", f"http://127.0.0.1:{port}/api/v1/query", "--data-urlencode", 'query=sum(whyrss_memory_bytes{program="profiles"})'],
                               capture_output=True, text=True, check=False)
            if r.stdout:
                found = json.loads(r.stdout)["data"]["result"]
                value = float(found[0]["value"][1]) if found else None
        assert value is not None, "Prometheus has no sample after 60 s"
        assert value > 1 << 20
    finally:
        p.terminate()
        p.wait(30)


# --- many, slow and gone clients ---

async def read_events(port, pid, n, seconds):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /api/1/pid/{pid}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    events, end = 0, time.time() + seconds
    try:
        while events < n and time.time() < end:
            line = await asyncio.wait_for(reader.readline(), max(0.1, end - time.time()))
            if not line:
                break
            events += b"event: ledger" in line
    except asyncio.TimeoutError:
        pass
    writer.close()
    return events


async def get_once(port, path):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    head = await asyncio.wait_for(reader.readline(), 30)
    body = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    return b" 200 " in head and len(body) > 100


async def load(port, pid, clients, rate, seconds):
    watchers = [asyncio.create_task(read_events(port, pid, 1000, seconds + 3)) for _ in range(clients)]
    paths = [f"/api/1/pid/{pid}/{v}" for v in ("ledger", "spans", "goroutines", "memstats", "maps")] + ["/api/1/processes", "/", "/assets/app.js", f"/pid/{pid}/debug/pprof/heap"]
    asked, start = [], time.time()
    while time.time() - start < seconds:
        asked.append(asyncio.create_task(get_once(port, paths[len(asked) % len(paths)])))
        await asyncio.sleep(max(0, start + len(asked) / rate - time.time()))
    return await asyncio.gather(*asked), await asyncio.gather(*watchers)


def test_load(demo):
    """200 who watch and 50 requests a second: every one is answered, memory stays bounded."""
    with Server() as s:
        s.json(f"/api/1/pid/{demo.pid}/ledger")
        answered, events = asyncio.run(load(s.port, demo.pid, 200, 50, 6))
        assert all(answered) and len(answered) >= 200, f"{answered.count(False)} of {len(answered)} failed"
        assert min(events) >= 2, f"a watcher saw {min(events)} events"
        assert s.rss() < 400 << 20
        before = s.rss()
        answered, _ = asyncio.run(load(s.port, demo.pid, 20, 50, 2))
        assert all(answered) and s.rss() < before + (64 << 20)
    assert s.code == 0


def test_a_slow_client_stops_nobody(server, demo):
    slow = []
    for text in (b"GET / HT", b"GET /api/1/pid/%d/pages HTTP/1.1\r\nHost: localhost\r\n\r\n" % demo.pid, b"POST /pid/%d/debug/pprof/symbol HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n0x" % demo.pid,
                 b"GET /api/1/pid/%d/events HTTP/1.1\r\nHost: localhost\r\n\r\n" % demo.pid):
        c = socket.create_connection(("127.0.0.1", server.port))
        c.sendall(text)  # and reads nothing
        slow.append(c)
    time.sleep(0.5)
    for _ in range(5):
        start = time.time()
        server.json(f"/api/1/pid/{demo.pid}/ledger")
        assert time.time() - start < 5
    for c in slow:
        c.close()


def test_a_reader_that_goes_away_stops_its_work(demo):
    with Server() as s:
        async def some():
            return await asyncio.gather(*[read_events(s.port, demo.pid, 2, 20) for _ in range(10)])
        assert min(asyncio.run(some())) == 2
        time.sleep(4)

        def ticks():
            with open(f"/proc/{s.pid}/stat", encoding="ascii") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            return int(fields[11]) + int(fields[12])
        before = ticks()
        time.sleep(3)
        assert ticks() - before <= 3, "it still reads for nobody"


def test_a_process_that_ends():
    with Server() as s:
        with Demo(build("nothing")) as d:
            s.json(f"/api/1/pid/{d.pid}/ledger")
            c = socket.create_connection(("127.0.0.1", s.port))
            c.settimeout(20)
            c.sendall(b"GET /api/1/pid/%d/events HTTP/1.1\r\nHost: localhost\r\n\r\n" % d.pid)
            assert c.recv(10)
        seen = b""
        while b"event: gone" not in seen:
            more = c.recv(65536)
            assert more, seen[-300:]
            seen += more
        assert s.ask(f"/api/1/pid/{d.pid}/ledger")[0] == 404


def test_garbage_is_refused(server):
    for text in (b"\0\1\2\r\n\r\n", b"GET " + b"/" * 100000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20000 + b"\r\n",
                 b"DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999999\r\n\r\n", b"GET /%00%ff%2e%2e/ HTTP/1.1\r\nHost: localhost\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as c:
            try:
                c.sendall(text)
                c.shutdown(socket.SHUT_WR)
                c.recv(1000)
            except OSError:
                pass
    assert server.ask("/")[0] == 200


def test_report_is_one_file(server, demo, tmp_path):
    whyrss("report", demo.pid, "-o", tmp_path / "x.html")
    text = (tmp_path / "x.html").read_text()
    data = json.loads(re.search(r'id="whyrss-report">(.*?)</script>', text, re.S)[1])
    assert data["answers"]["meta"]["lines"] and data["target"] == f"pid/{demo.pid}"
    check_sums(data["answers"][f"pid/{demo.pid}/ledger"])
    assert data["answers"][f"pid/{demo.pid}/pages"]["segments"]
    assert not re.search(r'(src|href)="(https?:)?//', text)
    status, headers, body = server.ask(f"/api/1/pid/{demo.pid}/report")
    assert status == 200 and headers["Content-Disposition"].startswith("attachment") and b"whyrss-report" in body


def test_pages_are_rss(server, demo):
    """The picture has every page that is in memory."""
    p, d = server.json(f"/api/1/pid/{demo.pid}/pages?max_age=60000"), server.json(f"/api/1/pid/{demo.pid}/ledger?max_age=60000")
    cells = sum(s["runs"][i] for s in p["segments"] for i in range(0, len(s["runs"]), 3) if s["runs"][i + 1] & 63 != 63)
    assert p["unit"] == 4096 and cells * 4096 == d["os"]["rss"]
    heap = {x["id"]: x["resident"] for x in d["lines"]}
    drawn = {}
    for s in p["segments"]:
        for i in range(0, len(s["runs"]), 3):
            if s["runs"][i + 1] & 63 != 63:
                line = p["lines"][s["runs"][i + 1] & 63]
                drawn[line] = drawn.get(line, 0) + s["runs"][i] * 4096
    for line in ("heap.free", "files", "binary.text"):
        assert abs(drawn.get(line, 0) - heap[line]) <= 64 << 10, line
    at = server.json(f"/api/1/pid/{demo.pid}/at?address={p['segments'][0]['start']}&max_age=60000")
    assert at["mapping"]["path"] and at["schema"] == "whyrss.at/1"
    # who allocated: somewhere in the heap is an object of the demo that was sampled, and its span says so
    found = set()
    for s in p["segments"]:
        cell = 0
        for i in range(0, len(s["runs"]), 3):
            if s["runs"][i + 2] != 255 and len(found) < 2:
                at = server.json(f"/api/1/pid/{demo.pid}/at?address={int(s['start'], 16) + cell * 4096:#x}&max_age=60000")
                for site in at.get("sites", []):
                    assert 0 < site["bytes"] <= max(at["span"]["bytes"], site["objects"] * at["span"]["slot_bytes"]) and site["objects"] <= at["span"]["slots"]
                    found |= {f for f in site["stack"] if f.startswith("main.")}
            cell += s["runs"][i]
    assert found, "no call of the demo was found in any span"


# --- profiles that are sent, and pprof's engine over HTTP ---

def send(server, data, name="x"):
    status, _, body = server.ask(f"/api/1/profiles?name={name}", data=data, headers={"Content-Type": "application/octet-stream"})
    return status, json.loads(body)


def test_reports_are_those_of_pprof(server, demo, tmp_path):
    """A profile that is sent gives what `whyrss pprof` says of the file, with filters and without."""
    whyrss("profile", demo.pid, "-o", tmp_path / "h.pb.gz")
    status, kept = send(server, (tmp_path / "h.pb.gz").read_bytes(), "%3Cb%3E")
    assert status == 201 and kept["name"] == "<b>" and not kept["given"] and "inuse_space" in kept["types"]
    base = f"/api/1/profile/{kept['id']}/"
    for path, args in [("top?n=5", ["-top", "-nodecount=5"]), ("tree?f=(%3Fi)MAIN&si=alloc_space", ["-tree", "-focus=(?i)MAIN", "-sample_index=alloc_space"]),
                       ("traces?tf=4kb:&h=runtime", ["-traces", "-tagfocus=4kb:", "-hide=runtime"]), ("peek?pattern=main.inner&g=lines", ["-peek=main.inner", "-lines"]),
                       ("tags", ["-tags"]), ("dot?noinlines=1", ["-dot", "-noinlines"]), ("raw", ["-raw"])]:
        status, headers, body = server.ask(base + "pprof/" + path)
        want = subprocess.run([WHYRSS, "pprof", *args, tmp_path / "h.pb.gz"], capture_output=True, timeout=60, check=True).stdout
        assert status == 200 and headers["Content-Type"].startswith("text/plain") and body == want, path
    stacks, focused = server.json(base + "stacks"), server.json(base + "stacks?f=main.inner")
    assert 0 < len(focused["samples"]) < len(stacks["samples"]) and focused["totals"] == stacks["totals"]
    total = [sum(s["v"][i] for s in stacks["samples"]) for i in range(4)]
    assert total == stacks["totals"] and pprofpb.totals(pprofpb.parse((tmp_path / "h.pb.gz").read_bytes()))["inuse_space"] == total[3]
    assert pprofpb.totals(pprofpb.parse(server.ask(base + "pprof/proto")[2])) == pprofpb.totals(pprofpb.parse((tmp_path / "h.pb.gz").read_bytes()))
    rooted = server.json(base + "stacks?tagroot=bytes")
    roots = {rooted["functions"][rooted["frames"][s["s"][-1]][0]][1] for s in rooted["samples"]}
    assert roots == {"bytes"}
    for path, want in [("stacks?f=(", 400), ("stacks?g=nonsense", 400), ("stacks?nonsense=1", 400), ("stacks?output=/tmp/x", 400), ("pprof/svg", 404), ("pprof/peek", 400), ("pprof/callgrind", 404),
                       ("nonsense", 404), (f"stacks?tagroot={'a,' * 500}", 400)]:
        code, _, body = server.ask(base + path)
        assert code == want and set(json.loads(body)) == {"error"}, (path, code, body)
    assert server.ask("/api/1/profile/0123456789abcdef/stacks")[0] == 404


def test_what_is_sent_has_limits(server, demo):
    heap = server.ask(f"/pid/{demo.pid}/debug/pprof/heap")[2]
    assert send(server, b"")[0] == send(server, b"garbage")[0] == send(server, heap[:200])[0] == 422
    assert server.ask("/api/1/profiles", data=heap, headers={"Origin": "http://evil.example"})[0] == 403
    assert server.ask("/api/1/profiles", data=heap, headers={"Host": "evil.example"})[0] == 403
    bomb = gzip.compress(bytes(400 << 20), 1)  # inflates past what one may take
    before = server.rss()
    assert send(server, bomb)[0] == 422
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as c:
        c.sendall(b"POST /api/1/profiles HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
        try:
            for _ in range(70):
                c.sendall(bytes(1 << 20))
        except OSError:
            pass
    first = send(server, heap, "first")[1]["id"]
    for _ in range(30):
        assert send(server, heap)[0] == 201
    for _ in range(3):  # the list is never an old one
        server.json("/api/1/profiles")
        assert send(server, heap)[1]["id"] == server.json("/api/1/profiles")["profiles"][0]["id"]
    assert len(server.json("/api/1/profiles")["profiles"]) <= 24
    assert server.ask(f"/api/1/profile/{first}/stacks")[0] == 404, "the oldest go first"
    assert server.rss() < before + (300 << 20)


def test_files_of_the_command_line(demo, tmp_path):
    """Several targets, profiles among them."""
    whyrss("profile", demo.pid, "-o", tmp_path / "h.pb.gz")
    whyrss("capture", demo.pid, "-o", tmp_path / "c.whyrss")
    with Server(tmp_path / "h.pb.gz", tmp_path / "c.whyrss", demo.pid) as s:
        assert s.json("/api/1/meta")["start"] is None and len(s.json("/api/1/meta")["files"]) == 1
        assert s.json("/api/1/file/0/ledger")["target"]["pid"] == demo.pid
        assert s.json("/api/1/profiles")["profiles"][0]["id"] == "0"
        assert s.json("/api/1/profile/0/stacks")["samples"]
        assert s.ask("/api/1/file/1/ledger")[0] == 404
    with Server(demo.pid) as s:
        assert s.json("/api/1/meta")["start"] == f"pid/{demo.pid}"


def profile_of(file):
    """A profile.proto with one sample in a function of that file."""
    def field(n, data):
        return bytes([n << 3 | 2]) + varint(len(data)) + data

    def varint(v):
        out = bytearray()
        while v > 127:
            out.append(v & 127 | 128)
            v >>= 7
        return bytes(out + bytes([v]))
    number = lambda n, v: bytes([n << 3]) + varint(v)
    strings = [b"", b"inuse_space", b"bytes", b"main.f", os.fsencode(file)]
    return (field(1, number(1, 1) + number(2, 2)) + field(2, field(1, b"\1") + field(2, b"\5")) + field(4, number(1, 1) + field(4, number(1, 1) + number(2, 1))) +
            field(5, number(1, 1) + number(2, 3) + number(3, 3) + number(4, 4)) + b"".join(field(6, x) for x in strings))


def test_source_text_is_nothing_secret(server, tmp_path):
    """A stranger's profile may name any file: it shows only source that everybody here may read."""
    import tempfile
    with tempfile.TemporaryDirectory(prefix="whyrss-source-") as d:
        os.chmod(d, 0o755)
        secret, open_, link, pipe, closed = f"{d}/secret.go", f"{d}/open.go", f"{d}/link.go", f"{d}/pipe.go", f"{d}/closed"
        for path, mode in [(secret, 0o600), (open_, 0o644), (f"{d}/password", 0o644)]:
            with open(path, "w", encoding="ascii") as f:
                f.write("package main // THE TEXT\n")
            os.chmod(path, mode)
        os.symlink(f"{d}/password", link)
        os.mkfifo(pipe)
        os.mkdir(closed, 0o700)
        shutil.copy(open_, closed)
        for path, shown in [(open_, True), (secret, False), (link, False), (pipe, False), (f"{closed}/open.go", False), (f"{d}/password", False), ("/etc/shadow", False), ("../../etc/passwd", False),
                            (f"{d}/../{os.path.basename(d)}/open.go", False)]:
            status, kept = send(server, profile_of(path))
            assert status == 201, kept
            status, _, body = server.ask(f"/api/1/profile/{kept['id']}/pprof/list?pattern=main.f")
            assert status == 200 and (b"THE TEXT" in body) == shown and (shown or b"Error: " in body), (path, body)


def test_a_reader_that_goes_away_stops_its_work(server):
    """Twenty who ask for minutes and hang up: others are answered meanwhile, and nothing is kept for them."""
    with Demo(build("churn"), timeout=120) as d:
        gone = []
        for i in range(20):
            c = socket.create_connection(("127.0.0.1", server.port), timeout=10)
            c.sendall(f"GET /pid/{d.pid}/debug/pprof/allocs?seconds={250 + i} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            gone.append(c)
        assert server.ask(f"/api/1/pid/{d.pid}/ledger", timeout=30)[0] == 200
        for c in gone:
            c.close()
        end, waiting = time.time() + 120, 1
        while waiting and time.time() < end:  # in CLOSE_WAIT: the server has not let go of it yet
            time.sleep(0.5)
            with open("/proc/net/tcp", encoding="ascii") as f:
                waiting = sum(1 for line in list(f)[1:] if line.split()[1].endswith(f":{server.port:04X}") and line.split()[3] == "08")
        assert waiting == 0, waiting
