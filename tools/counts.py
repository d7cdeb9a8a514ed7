#!/usr/bin/env python3
"""Counts the instructions of the hot paths on fixed inputs, and compares them with tests/bench/counts.json.

    tools/counts.py [--build build] [--update]

A path is a function of a program of tests/ that does the same in every run; instructions are those inside it and
what it calls, under valgrind, for each event. More than the tolerance above the recorded number fails;
fewer by as much is said, so that the record can be lowered: --update writes it anew, to be committed with the
change that explains it. The numbers hold for one compiler and one C library: with others there is nothing to compare.
"""
import argparse
import json
import pathlib
import platform
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECORD = ROOT / "tests/bench/counts.json"
TOLERANCE = 0.03
LOOSE = 0.10  # of those that look at a clock

# name: program, arguments, functions within which is counted, tolerance
PATHS = {
    "scan": ("bench_scan", [6400], ["events_take*"], TOLERANCE),
    "gate, engine": ("bench_gate", [20000, "pass"], ["tmk_gate_in"], TOLERANCE),
    "gate, lane": ("bench_gate", [20000, "lane"], ["tmk_gate_in"], TOLERANCE),
    "client, frame to burst": ("client/bench_client", [20000], ["tmk_gate_in"], TOLERANCE),
    "client, burst to callback": ("client/bench_client", [20000], ["tmk_amqp_handle_events"], LOOSE),
    "dispatch, partition": ("bench_dispatch", [64000, 0, 64, "partition", "steady"], ["measured"], LOOSE),
    "dispatch, key": ("bench_dispatch", [64000, 0, 64, "key", "steady"], ["measured"], LOOSE),
    "tracker": ("bench_tracker", [51200], ["measured"], TOLERANCE),
}


def count(build, program, args, functions):
    """Instructions an event; an exception says what went wrong."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
               *(f"--toggle-collect={f}" for f in functions), str(build / "tests" / program), *map(str, args)]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300)
    events = re.search(r"measured\.events\t(\d+)", run.stdout)
    counted = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode != 0 or not events or not counted or counted.group(1) == "0":
        raise RuntimeError(f"{' '.join(command)}: {run.stderr[-400:]}")
    return int(counted.group(1)) / int(events.group(1))


def ground():
    """What the numbers hold for."""
    compiler = subprocess.run(["cc", "-dumpfullversion"], stdout=subprocess.PIPE, text=True).stdout.strip()
    return {"compiler": compiler, "libc": " ".join(platform.libc_ver()), "machine": platform.machine()}


def verdict(now, was, tolerance):
    if was is None:
        return "NEW"
    if now > was * (1 + tolerance):
        return f"MORE than {tolerance:.0%} above"
    return "fewer: write it down with --update" if now < was * (1 - tolerance) else "as recorded"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--update", action="store_true", help="write the numbers down")
    args = parser.parse_args()
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {"counts": {}}
    here = ground()
    if not args.update and record.get("ground") != here:
        print(f"not compared: recorded with {record.get('ground')}, this is {here}")
        return 0
    counts, bad = {}, []
    for name, (program, arguments, functions, tolerance) in PATHS.items():
        counts[name] = round(count(pathlib.Path(args.build).resolve(), program, arguments, functions), 1)
        was = record["counts"].get(name)
        said = verdict(counts[name], was, tolerance)
        print(f"  {name:28} {counts[name]:9.1f} instructions an event, recorded {was if was is not None else '-':>8}: {said}", flush=True)
        if said.startswith(("MORE", "NEW")):
            bad.append(name)
    if args.update:
        RECORD.write_text(json.dumps({"ground": here, "counts": counts}, indent=1) + "\n")
        return 0
    if bad:
        print(f"above the record, or not in it: {', '.join(bad)}; --update writes it down, if it must be")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
