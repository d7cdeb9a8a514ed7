#!/usr/bin/env python3
"""Runs meson's tests and ends with one line: N passed, M failed, K skipped (subtests counted)."""
import json, pathlib, subprocess, sys

build = pathlib.Path("build")
code = subprocess.call(["meson", "test", "-C", str(build), "--print-errorlogs", *sys.argv[1:]])
passed = failed = skipped = 0
for line in (build / "meson-logs/testlog.json").read_text().splitlines():
    test = json.loads(line)
    subtests = [l for l in test.get("stdout", "").splitlines() if l.startswith(("ok ", "not ok "))]
    for l in subtests:
        if "# SKIP" in l.upper():
            skipped += 1
            print("skipped:", test["name"], l)
        elif l.startswith("ok"):
            passed += 1
        else:
            failed += 1
    if test["result"] == "SKIP":
        skipped += 1
        print("skipped:", test["name"], test.get("stdout", "").strip()[-200:])
    elif not subtests or (test["result"] not in ("OK", "SKIP") and not any(l.startswith("not") for l in subtests)):
        if test["result"] == "OK":
            passed += 1
        else:
            failed += 1
            print("failed:", test["name"], test["result"])
print(f"{passed} passed, {failed} failed, {skipped} skipped")
sys.exit(1 if failed or code else 0)
