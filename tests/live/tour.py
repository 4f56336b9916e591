"""`./dev run` without a process: starts demo/tour, explains it, shows it as a page where there is a person, ends it. argv: the whyrss binary."""
import subprocess
import sys

from demos import Demo, build


HOURS = 4  # a terminal that was left must not keep it for ever


def main():
    print("building and starting demo/tour, a program with five reasons to be bigger than its profile …", file=sys.stderr)
    with Demo(build("tour"), ["-life", f"{HOURS}h"]) as d:
        argv = [sys.argv[1], str(d.pid)]
        print(f"$ {' '.join(argv)}\n", flush=True)
        code = subprocess.run(argv, check=False).returncode
        if sys.stdin.isatty() and sys.stdout.isatty():
            print(f"\nIt runs on as {d.pid}, for {HOURS} hours at most: try the commands above in another terminal, or open the page. Enter ends both.", flush=True)
            page = subprocess.Popen([sys.argv[1], "serve", str(d.pid)], stdin=subprocess.DEVNULL)
            sys.stdin.readline()
            page.terminate()
            page.wait()
    return code


if __name__ == "__main__":
    sys.exit(main())
