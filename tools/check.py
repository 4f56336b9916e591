#!/usr/bin/env python3
"""Static checks, each one a named pass or fail: include rule, clang-format, clang-tidy, generated files, spelling of ids."""
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run(*argv, **kw):
    return subprocess.run(argv, cwd=ROOT, text=True, capture_output=True, **kw)


def sources():
    out = run("git", "ls-files", "-co", "--exclude-standard", "src/*.[ch]", "tests/*.[ch]", "tools/*.[ch]").stdout
    return [f for f in out.split() if not f.startswith("src/goruntime/layouts/")]


def layers():
    r = run(sys.executable, "tools/layers.py")
    return r.returncode == 0, r.stdout


def formatted():
    r = run("clang-format-14", "--dry-run", "--Werror", *sources())
    return r.returncode == 0, r.stderr[-3000:]


def tidy():
    if not (ROOT / "build/debug/compile_commands.json").exists():
        run("meson", "setup", "build/debug", "--native-file", "presets/debug.ini")
    files = [f for f in sources() if f.startswith("src/") and f.endswith(".c")]
    procs, failed = [], ""
    half = (len(files) + 1) // 2
    for part in (files[:half], files[half:]):
        procs.append(subprocess.Popen(["clang-tidy-14", "--quiet", "--extra-arg=-Wno-unknown-warning-option", "-p", "build/debug", *part], cwd=ROOT, text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
    for p in procs:
        out, _ = p.communicate()
        if p.returncode != 0:
            failed += out
    return failed == "", failed[-6000:]


def web():
    """The committed bundle is what web/src makes."""
    with tempfile.TemporaryDirectory() as new:
        r = run("./dev", "web", new)
        if r.returncode != 0:
            return False, (r.stdout + r.stderr)[-3000:]
        dist = ROOT / "web/dist"
        stale = [f.name for f in pathlib.Path(new).iterdir() if not (dist / f.name).exists() or f.read_bytes() != (dist / f.name).read_bytes()]
        return not stale, f"web/dist is not what web/src makes ({', '.join(stale)}): run ./dev web and commit it"


CHECKS = {"layers": layers, "format": formatted, "tidy": tidy, "web": web}


def main(names):
    failed = 0
    for name, fn in CHECKS.items():
        if names and name not in names:
            continue
        ok, text = fn()
        print(f"check {name}: {'ok' if ok else 'FAILED'}")
        if not ok:
            failed += 1
            print(text)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
