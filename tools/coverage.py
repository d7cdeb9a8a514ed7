#!/usr/bin/env python3
"""Measures which lines and branches the tests run: coverage.py [--system] [--missed FILE ...]

Builds build-coverage/ with gcc (-O0, --coverage), runs the tests in it and reads what gcov says. Prints a
line per folder, the files with most left over, and what is under its target; exit code 1 then.

Lines and branches are those of gcov, at -O0: each side of each condition of `&&`, `||`, `?:`, `if`, `case` and
loops is a branch. What several programs compile (inline functions of headers, files of the command line in tests)
counts once, and is covered when one of them runs it. Left out: the branches of tmk_assert (its failing side
cannot be run without ending the process) and lines with tmk_assert(false); objects with planted bugs
(-DTMK_MUTANTS). Paths that only run when memory is short count like all others.

  --system      also the tests with real processes and with Azurite: half an hour
  --also        and these, by name: system_cli ...
  --report      only the table, from the last run
  --missed      and for these files each line that was not run, each branch that was not taken
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build-coverage"
# folder: lines and branches in percent that must be reached; those of None are only told
FOLDERS = {
    "lib/base": (95, 85),
    "lib/net": None,
    "lib/auth": None,
    "lib/amqp": None,
    "lib/eventhubs": None,
    "checkpoint": (95, 85),
    "processor/core": (95, 85),
    "processor/run": None,
    "tools/tidemark": None,
    "tools/hub": None,
    "tools/testkit": None,
}
OVERALL_LINES = 85
SUITES = ["unit", "contract", "client", "shell", "fuzz"]
SIMULATIONS = [  # a part of the suite sim: what it adds in lines comes early
    *(["sim_fleet", "--kind", kind, "--lives", "60"] for kind in ("planned", "faults", "hostile", "forever")),
    *(["sim_mixed", "--kind", kind, "--lives", "6"] for kind in ("ours", "mixed", "faults")),
    ["sim_whole", "--seed", "1001", "--lives", "60"],
]


def build():
    if not (BUILD / "build.ninja").exists():
        subprocess.run(["meson", "setup", str(BUILD), "--buildtype=debug", "-Db_coverage=true",
                        "-Ddefault_library=static", "-Dc_args=-fprofile-update=atomic"],
                       cwd=ROOT, env=dict(os.environ, CC="gcc"), check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["nice", "ninja", "-C", str(BUILD), "--quiet"], check=True)


def run_tests(system, also):
    """Returns whether all passed. What a failing test ran still counts: its failure is the other steps' affair."""
    for old in BUILD.rglob("*.gcda"):
        old.unlink()
    suites = SUITES + (["system", "interop"] if system else [])
    command = ["nice", "meson", "test", "-C", str(BUILD), "--quiet", "--print-errorlogs", "--no-suite", "long", "-t", "5"]
    passed = subprocess.call(command + [part for suite in suites for part in ("--suite", suite)]) == 0
    passed &= not also or subprocess.call(command + also) == 0
    for program, *args in SIMULATIONS:
        passed &= subprocess.call(["nice", str(BUILD / "tests/sim" / program), *args], stdout=subprocess.DEVNULL) == 0
    return passed


def gcov(notes):
    run = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", str(notes)],
                         cwd=BUILD, capture_output=True, text=True, check=False)
    return [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]


class Source:
    """What is known of one file: line -> how often run; line -> how often each branch was taken."""

    def __init__(self, path):
        self.text = path.read_text().splitlines()
        self.lines, self.branches = {}, {}

    def add(self, line):
        number = line["line_number"]
        text = self.text[number - 1] if number <= len(self.text) else ""
        if re.search(r"\btmk_assert\(false\b", text):
            return
        self.lines[number] = self.lines.get(number, 0) + line["count"]
        taken = [branch["count"] for branch in line["branches"]]
        if not taken or re.search(r"\btmk_assert\(", text):
            return
        known = self.branches.get(number, [])
        if len(known) == len(taken):
            self.branches[number] = [a + b for a, b in zip(known, taken)]
        elif len(taken) > len(known):
            self.branches[number] = taken

    def figures(self):
        taken = [count for counts in self.branches.values() for count in counts]
        return Figures(sum(n > 0 for n in self.lines.values()), len(self.lines), sum(n > 0 for n in taken), len(taken))

    def missed(self):
        for number in sorted(self.lines):
            counts = self.branches.get(number, [])
            if self.lines[number] == 0:
                yield f"{number:5} not run     {self.text[number - 1]}"
            elif 0 in counts:
                yield f"{number:5} {'/'.join(map(str, counts))[:11]:11} {self.text[number - 1]}"


class Figures:
    def __init__(self, lines=0, lines_all=0, branches=0, branches_all=0):
        self.counts = [lines, lines_all, branches, branches_all]

    def __add__(self, other):
        return Figures(*(a + b for a, b in zip(self.counts, other.counts)))

    @staticmethod
    def share(part, whole):
        return 100.0 if whole == 0 else 100.0 * part / whole

    def lines(self):
        return self.share(*self.counts[:2])

    def branches(self):
        return self.share(*self.counts[2:])

    def left(self):
        return (self.counts[1] - self.counts[0]) + (self.counts[3] - self.counts[2])

    def row(self, name, note=""):
        lines, lines_all, branches, branches_all = self.counts
        return (f"{name:38} {self.lines():6.1f} % {f'{lines}/{lines_all}':>13}"
                f" {self.branches():6.1f} % {f'{branches}/{branches_all}':>13}{note}")


def collect():
    notes = [path for path in BUILD.rglob("*.gcno") if "mutants" not in path.parent.name]
    sources = {}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for answers in pool.map(gcov, notes):
            for file in (file for answer in answers for file in answer["files"]):
                path = (BUILD / file["file"]).resolve()
                name = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else ""
                if not any(name.startswith(folder + "/") for folder in FOLDERS):
                    continue
                source = sources.setdefault(name, Source(path))
                for line in file["lines"]:
                    source.add(line)
    return sources


def report(sources, worst):
    """Prints the tables; returns what is under its target."""
    under, all_of_it = [], Figures()
    print(f"{'folder':38} {'lines':>22} {'branches':>22}")
    for folder, target in FOLDERS.items():
        figures = sum((s.figures() for name, s in sources.items() if name.startswith(folder + "/")), Figures())
        all_of_it += figures
        note = f"   target {target[0]}, {target[1]}" if target else ""
        print(figures.row(folder, note))
        if target and (figures.lines() < target[0] or figures.branches() < target[1]):
            under.append(folder)
    print(all_of_it.row("all", f"   target {OVERALL_LINES}"))
    if all_of_it.lines() < OVERALL_LINES:
        under.append("all")
    print("\nthe most left over:")
    for name in sorted(sources, key=lambda name: -sources[name].figures().left())[:worst]:
        print(sources[name].figures().row(name))
    return under


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--system", action="store_true")
    options.add_argument("--also", nargs="+", default=[], metavar="TEST")
    options.add_argument("--report", action="store_true")
    options.add_argument("--worst", type=int, default=15, help="so many files (15)")
    options.add_argument("--missed", nargs="+", default=[], metavar="FILE")
    args = options.parse_args()
    passed = True
    if not args.report:
        build()
        passed = run_tests(args.system, args.also)
    sources = collect()
    under = report(sources, args.worst)
    for name in (name for name in sorted(sources) if any(name.startswith(part) for part in args.missed)):
        print(f"\n{name}:")
        print("\n".join(sources[name].missed()))
    for name in under:
        print(f"under its target: {name}")
    if not passed:
        print("not all tests passed")
    return 1 if under or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
