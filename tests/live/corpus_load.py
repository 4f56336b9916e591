#!/usr/bin/env python3
"""Bounded loads on the programs of corpus.sh, on 127.0.0.1 alone. usage: corpus_load.py LOAD ARGUMENT..."""
import base64
import http.client
import http.server
import json
import os
import socket
import sys
import threading
import time
import urllib.parse

HOST = "127.0.0.1"


def fetch(conn, method, path, body=None, headers=None):
    """One request; ends the program on a status of 300 or more."""
    conn.request(method, path, body, headers or {})
    reply = conn.getresponse()
    data = reply.read()
    if reply.status >= 300:
        raise SystemExit(f"{method} {path}: {reply.status} {data[:300]!r}")
    return data


def etcd(port, n):
    """n keys of 2 KiB, 50 to a transaction, through the JSON gateway."""
    def put(first, last):
        conn = http.client.HTTPConnection(HOST, port)
        for i in range(first, last, 50):
            ops = [{"requestPut": {"key": base64.b64encode(b"k/%09d" % j).decode(),
                                   "value": base64.b64encode(os.urandom(2048)).decode()}}
                   for j in range(i, min(i + 50, last))]
            fetch(conn, "POST", "/v3/kv/txn", json.dumps({"success": ops}), {"Content-Type": "application/json"})
    threads = [threading.Thread(target=put, args=(n * k // 2, n * (k + 1) // 2)) for k in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def web(port, conns, requests):
    """conns connections that are kept open, with some gzip requests on each at the same time."""
    cs = [http.client.HTTPConnection(HOST, port, timeout=30) for _ in range(conns)]
    for k in range(requests):
        for i, c in enumerate(cs):
            c.request("GET", f"/f{(i + k) % 200 + 1}.html", headers={"Accept-Encoding": "gzip"})
        for c in cs:
            c.getresponse().read()
    for c in cs:
        c.close()


class Nats:
    """As much of the NATS protocol as the loads need."""

    def __init__(self, port):
        self.sock = socket.create_connection((HOST, port), timeout=30)
        self.file = self.sock.makefile("rb")
        self.file.readline()                                        # INFO {...}
        self.sock.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB reply 1\r\n')
        self.flush()

    def flush(self):
        """Waits until the server has taken all that was sent."""
        self.sock.sendall(b"PING\r\n")
        while True:
            line = self.file.readline()
            if line.startswith(b"PONG"):
                return
            if not line or line.startswith(b"-ERR"):
                raise SystemExit(f"nats: {line!r}")

    def ask(self, subject, body):
        self.sock.sendall(b"PUB %s reply %d\r\n%s\r\n" % (subject, len(body), body))
        while True:
            line = self.file.readline()
            if line.startswith(b"MSG"):
                reply = json.loads(self.file.read(int(line.split()[-1]) + 2))
                if "error" in reply:
                    raise SystemExit(f"nats: {reply['error']}")
                return reply
            if not line or line.startswith(b"-ERR"):
                raise SystemExit(f"nats: {line!r}")


def nats(port, n):
    """n messages of 1 KiB in a stream that is kept in memory."""
    c = Nats(port)
    c.ask(b"$JS.API.STREAM.CREATE.corpus", json.dumps({
        "name": "corpus", "subjects": ["corpus.>"], "storage": "memory", "retention": "limits",
        "max_msgs": -1, "max_bytes": -1, "max_age": 0, "num_replicas": 1}).encode())
    body = os.urandom(1024)
    for i in range(0, n, 500):
        k = min(500, n - i)
        c.sock.sendall(b"".join(b"PUB corpus.%d 1024\r\n%s\r\n" % (j % 1000, body) for j in range(i, i + k)))
        c.flush()
    deadline = time.time() + 60                                     # the stream stores them after the server took them
    while time.time() < deadline:
        held = c.ask(b"$JS.API.STREAM.INFO.corpus", b"")["state"]["messages"]
        if held >= n:
            break
        time.sleep(0.2)
    print("messages held:", held)


def nats_purge(port):
    print("messages purged:", Nats(port).ask(b"$JS.API.STREAM.PURGE.corpus", b"")["purged"])


def hugo_pages(folder, first, n):
    for i in range(first, first + n):
        text = "\n\n".join(base64.b64encode(os.urandom(180)).decode() for _ in range(33))
        with open(f"{folder}/p{i}.md", "w", encoding="ascii") as f:
            f.write(f"---\ntitle: page {i}\n---\n\n{text}\n")


def until(port, path, text, there, seconds):
    """Waits until a page has a text ("yes") or has it no longer ("no")."""
    deadline = time.time() + seconds
    while time.time() < deadline:
        conn = http.client.HTTPConnection(HOST, port, timeout=60)
        page = fetch(conn, "GET", path)
        conn.close()
        if (text.encode() in page) == (there == "yes"):
            return
        time.sleep(0.5)
    raise SystemExit(f"{path}: no change after {seconds} s")


def churn(port, n, scrapes):
    """Serves metrics for some scrapes (a minute at most), each time n series that were not there before."""
    done = threading.Event()
    served = 0

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            nonlocal served
            served += 1
            run = f"{int(time.time())}-{served}"
            body = "".join(f'churn_requests{{pod="web-{run}-{i:06d}",path="/api/v1/items/{i % 50}",code="200"}} {i}\n'
                           for i in range(n)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            if served >= scrapes:
                done.set()

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer((HOST, port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    if not done.wait(60):
        raise SystemExit(f"only {served} of {scrapes} scrapes came in a minute")
    server.shutdown()
    print("series served:", served * n)


def prometheus_delete(port):
    conn = http.client.HTTPConnection(HOST, port, timeout=60)
    match = urllib.parse.urlencode({"match[]": '{job="churn"}'})
    fetch(conn, "POST", "/api/v1/admin/tsdb/delete_series?" + match)
    fetch(conn, "POST", "/api/v1/admin/tsdb/clean_tombstones")


LOADS = {
    "etcd": etcd, "http": web, "nats": nats, "nats-purge": nats_purge, "hugo-pages": hugo_pages, "until": until,
    "churn": churn, "prometheus-delete": prometheus_delete,
}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in LOADS:
        raise SystemExit(f"{__doc__}\nloads: {' '.join(LOADS)}")
    LOADS[sys.argv[1]](*(int(a) if a.isdigit() else a for a in sys.argv[2:]))
