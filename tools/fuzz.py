#!/usr/bin/env python3
"""Fuzzes every parser of what comes from outside: fuzz.py [--seconds TOTAL] [TARGET ...]

Builds build-fuzz/ with clang and runs each target on its corpus for an equal share of the time, two
at once. Prints a TAP line a target with its executions. A crash leaves its input in build-fuzz/
and the line that replays it. New inputs stay in build-fuzz/found/; `--keep` merges them into the corpus.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build-fuzz"
FLAGS = {"fuzz_calls": ["-entropic=0"]}  # its inputs reach so much that weighing them would take all the time


def build():
    env = dict(os.environ, CC=shutil.which("clang-14") and "clang-14" or "clang")
    if not (BUILD / "build.ninja").exists():
        subprocess.run(["meson", "setup", str(BUILD), "-Dfuzz=true", "-Dsamples=false", "--buildtype=debugoptimized",
                        "--default-library=static"], cwd=ROOT, env=env, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", str(BUILD), "--quiet", "build.ninja"], check=True)
    names = re.findall(r"^build (tests/fuzz/fuzz_\w+): c_LINKER", (BUILD / "build.ninja").read_text(), re.M)
    subprocess.run(["ninja", "-C", str(BUILD), "--quiet", *names], check=True)
    return sorted(pathlib.Path(n).name for n in names)


def fuzz(name, seconds, seed):
    found = BUILD / "found" / name
    found.mkdir(parents=True, exist_ok=True)
    corpus = ROOT / "tests/fuzz/corpus" / name.removeprefix("fuzz_")
    command = [str(BUILD / "tests/fuzz" / name), f"-max_total_time={seconds}", "-rss_limit_mb=2048", "-timeout=10",
               "-print_final_stats=1", f"-seed={seed}", f"-artifact_prefix={BUILD}/{name}-",
               *FLAGS.get(name, []), str(found)]
    if corpus.is_dir():
        command.append(str(corpus))
    run = subprocess.run(command, capture_output=True, text=True, errors="replace",
                         env=dict(os.environ, UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1"))
    runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", run.stderr)
    edges = re.search(r"\((\d+) inline 8-bit counters\)", run.stderr)
    cover = re.findall(r"cov: (\d+)", run.stderr)
    told = (f"{runs.group(1) if runs else 0} runs in {seconds} s,"
            f" {cover[-1] if cover else 0} of {edges.group(1) if edges else '?'} edges covered")
    return name, run.returncode, told, run.stderr


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=int, default=60, help="for all targets together")
    options.add_argument("--seed", type=int, default=1, help="the same seed tries the same inputs (1)")
    options.add_argument("--keep", action="store_true", help="merge what was found into tests/fuzz/corpus")
    options.add_argument("targets", nargs="*")
    args = options.parse_args()
    names = build()
    if args.targets:
        names = [n for n in names if n in args.targets or n.removeprefix("fuzz_") in args.targets]
    each = max(1, args.seconds * 2 // max(1, len(names)))
    failed = 0
    print(f"1..{len(names)}")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for number, result in enumerate(pool.map(lambda n: fuzz(n, each, args.seed), names), 1):
            name, code, told, log = result
            if code == 0:
                print(f"ok {number} - {name}: {told}", flush=True)
                continue
            failed += 1
            print("\n".join("# " + line for line in log.splitlines()[-60:]))
            print(f"not ok {number} - {name}: see build-fuzz/{name}-*; replay: build-fuzz/tests/fuzz/{name} FILE")
    if args.keep:
        for name in names:
            corpus = ROOT / "tests/fuzz/corpus" / name.removeprefix("fuzz_")
            corpus.mkdir(parents=True, exist_ok=True)
            subprocess.run([str(BUILD / "tests/fuzz" / name), "-merge=1", str(corpus), str(BUILD / "found" / name)],
                           stderr=subprocess.DEVNULL, check=False)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
