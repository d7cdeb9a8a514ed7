#!/usr/bin/env python3
"""Runs the tests of build/ and ends with one line: N passed, M failed, K skipped.

Subtests (TAP) are counted one by one. --long adds the suites that take hours; any other argument
goes to meson.
"""
import json
import pathlib
import subprocess
import sys


def main(args):
    build = pathlib.Path("build")
    long = "--long" in args
    args = [a for a in args if a != "--long"]
    command = ["meson", "test", "-C", str(build), "--print-errorlogs"]
    if not long:
        command += ["--no-suite", "long"]
    code = subprocess.call(command + args)
    passed = failed = 0
    skipped = []
    for line in (build / "meson-logs/testlog.json").read_text().splitlines():
        test = json.loads(line)
        name, result, out = test["name"], test["result"], test.get("stdout", "")
        subtests = [l for l in out.splitlines() if l.startswith(("ok ", "not ok "))]
        skips = [l for l in subtests if "# SKIP" in l.upper()]
        bad = [l for l in subtests if l.startswith("not ok ") and l not in skips]
        skipped += [f"{name}: {l}" for l in skips]
        if result == "SKIP" and not subtests:
            skipped.append(f"{name}: {(out.strip().splitlines() or ['no reason given'])[-1]}")
            continue
        good = len(subtests) - len(skips) - len(bad)
        lost = result not in ("OK", "SKIP", "EXPECTEDFAIL") and not bad  # died, or timed out
        failed += len(bad) + lost
        passed += good + (not subtests and not lost)
        if bad or lost:
            print(f"failed: {name}: {result}")
    for reason in skipped:
        print("skipped:", reason)
    print(f"{passed} passed, {failed} failed, {len(skipped)} skipped")
    return 1 if failed or code else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
