"""A server under test and ways to ask it; listens on loopback, ends with the test."""
import json
import os
import re
import select
import subprocess
import time
import urllib.error
import urllib.request

from conftest import WHYRSS


class Server:
    def __init__(self, *args, prefix=()):
        self.argv = [*prefix, WHYRSS, "serve", "--listen", "127.0.0.1:0", *map(str, args)]

    def __enter__(self):
        self.proc = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
        self.said, end = "", time.time() + 30
        while "Ctrl-C" not in self.said and time.time() < end and self.proc.poll() is None:
            if select.select([self.proc.stdout], [], [], 1)[0]:
                self.said += os.read(self.proc.stdout.fileno(), 4096).decode()
        m = re.search(r"(https?)://(\S+?):(\d+)/(?:\?token=(\w+))?", self.said)
        assert m, (self.said, self.proc.poll() is not None and self.proc.stderr.read())
        self.url, self.port, self.token = f"{m[1]}://{m[2]}:{m[3]}", int(m[3]), m[4]
        return self

    def __exit__(self, *_):
        self.proc.terminate()
        try:
            self.code = self.proc.wait(20)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
            raise
        self.proc.stdout.close()
        self.errors = self.proc.stderr.read().decode()
        self.proc.stderr.close()

    @property
    def pid(self):
        return self.proc.pid

    def ask(self, path, headers=None, data=None, timeout=60):
        """(status, headers, body) of any answer."""
        r = urllib.request.Request(self.url + path, headers=headers or {}, data=data)
        try:
            with urllib.request.urlopen(r, timeout=timeout) as a:
                return a.status, a.headers, a.read()
        except urllib.error.HTTPError as e:
            return e.code, e.headers, e.read()

    def json(self, path, **kw):
        status, headers, body = self.ask(path, **kw)
        assert status == 200, (path, status, body[:500])
        assert headers["Content-Type"].startswith("application/json")
        return json.loads(body)

    def rss(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii", errors="replace") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1]) * 1024
