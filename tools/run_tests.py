#!/usr/bin/env python3
"""Runs all tests of build/ and ends with one line: N passed, M failed, K skipped.

Subtests (TAP) are counted one by one. The fuzz targets run for a minute together. --long adds what
takes hours: the suites marked long, and an hour of fuzzing. Any other argument goes to meson, and
then nothing is fuzzed.
"""
import json
import pathlib
import subprocess
import sys

BUILD = pathlib.Path("build")


class Count:
    def __init__(self):
        self.passed, self.failed, self.skipped = 0, 0, []

    def tap(self, name, out):
        """Counts the lines of a TAP output; returns how many there were."""
        lines = [l for l in out.splitlines() if l.startswith(("ok ", "not ok "))]
        for line in lines:
            if "# SKIP" in line.upper():
                self.skipped.append(f"{name}: {line}")
            elif line.startswith("ok "):
                self.passed += 1
            else:
                self.failed += 1
                print(f"failed: {name}: {line}")
        return len(lines)


def meson_tests(count, args, long):
    command = ["meson", "test", "-C", str(BUILD), "--print-errorlogs"]
    if not long:
        command += ["--no-suite", "long"]
    code = subprocess.call(command + args)
    for line in (BUILD / "meson-logs/testlog.json").read_text().splitlines():
        test = json.loads(line)
        name, result, out = test["name"], test["result"], test.get("stdout", "")
        before = count.failed
        lines = count.tap(name, out)
        if result == "SKIP" and not lines:
            count.skipped.append(f"{name}: {(out.strip().splitlines() or ['no reason given'])[-1]}")
        elif result in ("OK", "SKIP", "EXPECTEDFAIL"):
            count.passed += not lines
        elif count.failed == before:  # it died, or took too long
            count.failed += 1
            print(f"failed: {name}: {result}")
    return code


def fuzz(count, seconds):
    print(f"== fuzzing for {seconds} s in all", flush=True)
    run = subprocess.run([sys.executable, "tools/fuzz.py", "--seconds", str(seconds)], stdout=subprocess.PIPE, text=True)
    print(run.stdout, end="")
    if not count.tap("fuzz", run.stdout) or (run.returncode and "not ok" not in run.stdout):
        count.failed += 1
        print("failed: fuzz: the targets could not be built or run")


def main(args):
    long = "--long" in args
    args = [a for a in args if a != "--long"]
    count = Count()
    code = meson_tests(count, args, long)
    if not args:
        fuzz(count, 3600 if long else 60)
    for reason in count.skipped:
        print("skipped:", reason)
    print(f"{count.passed} passed, {count.failed} failed, {len(count.skipped)} skipped")
    return 1 if count.failed or code else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
