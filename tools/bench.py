#!/usr/bin/env python3
"""Runs the benchmarks of a release build, prints a table, writes bench.json and bench.svg beside it.

    ./run bench [NAME ...] [--quick] [--list]

A benchmark is a function in BENCHMARKS. It is given a Bench (paths, quick or not, helpers) and
returns a list of Figures. What it measures is a program of tests/bench, which prints a line for
each figure: name, value and unit, divided by tabs (tests/bench/measure.h); or anything else.
tools/bench_processes.py has those that start processes side by side.
A bound that is missed is told in the table and in the last line; only a benchmark that could not be run to its
end makes the exit code 1. Trust ratios and instruction counts; times are of this machine and this minute.
docs/PERFORMANCE.md explains each benchmark and what was learnt.
"""
import argparse
import datetime
import html
import json
import os
import pathlib
import platform
import re
import signal
import subprocess
import sys
import time

from bench_figure import Figure, Skipped
import bench_processes

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIMIT = 420  # seconds for one benchmark: it ends there, and the next one begins


class Bench:
    def __init__(self, build, quick):
        self.build, self.quick = pathlib.Path(build).resolve(), quick

    def program(self, name, *args, timeout=900):
        """Runs tests/<name>; returns {figure: value}."""
        run = subprocess.run([str(self.build / "tests" / name), *map(str, args)], stdout=subprocess.PIPE, text=True,
                             timeout=timeout, check=True)
        lines = [l.split("\t") for l in run.stdout.splitlines() if l.count("\t") == 2]
        return {l[0]: float(l[1]) for l in lines}

    def instructions(self, name, *args, function="measured", timeout=900):
        """Instructions of a program of tests/ inside one function, for each event that it says it has measured
        (`measured.events`); None without valgrind."""
        command = ["valgrind", "--tool=callgrind", f"--toggle-collect={function}", "--callgrind-out-file=/dev/null",
                   str(self.build / "tests" / name), *map(str, args)]
        try:
            run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout)
        except FileNotFoundError:
            return None
        # A program may have made children; they end first, and count nothing.
        counts = [int(n) for n in re.findall(r"Collected : (\d+)", run.stderr)]
        events = re.search(r"measured\.events\t(\d+)", run.stdout)
        return max(counts) / int(events.group(1)) if counts and events and run.returncode == 0 else None


# ---- the benchmarks ----

def receive(bench):
    """From the socket to the callback, beside bare readers of the same stream (4 partitions)."""
    figures = []
    for body, events in ((100, 160000 if bench.quick else 400000), (1024, 120000)):
        got = bench.program("bench_receive", "all", events, body, 4, 3 if bench.quick else 5)
        subjects = [n[:-4] for n in got if n.endswith(".cpu")]
        cpu = {s: got[s + ".cpu"] for s in subjects}
        for s in subjects:
            figures.append(Figure(f"CPU, {body} B", s, cpu[s], "ns/event"))
        for s in subjects:
            figures.append(Figure(f"rate, {body} B", s, got[s + ".rate"], "events/s"))
        ours = ("consumer", "processor", "processor_batch")
        for s in ours:
            figures.append(Figure(f"CPU by bare Proton's, {body} B", s, cpu[s] / cpu["proton"], "x", most=1.25))
        for s in ours:
            figures.append(Figure(f"CPU by a scanning drain's, {body} B", s, cpu[s] / cpu["scan"], "x", most=2))
        for s in ours:
            figures.append(Figure(f"allocations, {body} B", s, got[s + ".allocations"], "1/event", most=0.001))
        counted = {}
        for s in ("scan", "proton") + ours:
            # A processor holds 20,000 events; the clock lags as the program does under valgrind.
            each = bench.instructions("bench_receive", s, 240000 if s in ours else 80000, body, 4, 1, 50)
            if each is not None:
                most = 1500 if body == 100 and s in ours else None
                figures.append(Figure(f"instructions, {body} B", s, each, "1/event", most=most))
                counted[s] = each
        for s in ours:
            if s in counted and "scan" in counted:
                figures.append(Figure(f"instructions by a scanning drain's, {body} B", s, counted[s] / counted["scan"], "x"))
    return figures


def scale(bench):
    """One plan of a large fleet, and what fleets ask of a store, in virtual time."""
    figures = []
    for instances in (1, 50, 500):
        got = bench.program("bench_plan", 2000, instances)
        figures += [Figure("plan for 2,000 partitions", f"{instances} instances, {n}", got[n], "ms", most=5) for n in got]
    for only in ("at rest", "scale, 2000"):
        run = subprocess.run([str(bench.build / "tests/sim/sim_figures"), "--only", only, "--seeds", "4"],
                             stdout=subprocess.PIPE, text=True, timeout=300, check=True)
        for name, rest in re.findall(r"^(.*?\S)  +(.*)$", run.stdout, re.M):
            for value in re.findall(r"(\d+\.\d) s mean", rest):
                figures.append(Figure("from the start until balanced (virtual time)", name, float(value), "s", most=6))
            for value in re.findall(r"(\d+) requests/h mean", rest):
                figures.append(Figure("requests at rest, of the instance that asks most (virtual time)", name, float(value), "1/h"))
    return figures


BENCHMARKS = {
    "receive": receive,
    "scale": scale,
    **bench_processes.BENCHMARKS,
}


# ---- telling ----

def machine():
    cpu = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    compiler = subprocess.run(["cc", "--version"], stdout=subprocess.PIPE, text=True).stdout.splitlines()
    memory = re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text())
    return {
        "cpu": cpu.group(1) if cpu else platform.processor() or "unknown",
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": int(memory.group(1)) // 1024 if memory else None,
        "kernel": f"{platform.system()} {platform.release()}",
        "compiler": compiler[0] if compiler else "unknown",
        "load": os.getloadavg()[0],
    }


def met(f):
    if f.most is None and f.least is None:
        return None
    return (f.most is None or f.value <= f.most) and (f.least is None or f.value >= f.least)


def text_of(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def print_table(name, what, figures):
    print(f"\n{name}: {what}")
    group = None
    for f in figures:
        if f.group != group:
            group = f.group
            print(f"  {group}")
        bound = f"at most {text_of(f.most)}" if f.most is not None else f"at least {text_of(f.least)}" if f.least is not None else ""
        verdict = {True: "met", False: "MISSED", None: ""}[met(f)]
        print(f"    {f.name:32} {text_of(f.value):>12} {f.unit:12} {bound:18} {verdict}".rstrip())


WIDTH, LEFT, BAR, ROW = 900, 260, 460, 18


def svg_group(out, y, group, figures):
    top = max([f.value for f in figures] + [b for f in figures for b in (f.most, f.least) if b is not None]) or 1
    out.append(f'<text x="10" y="{y + 13}" class="g">{html.escape(group)} ({html.escape(figures[0].unit)})</text>')
    y += ROW + 4
    for f in figures:
        colour = {True: "#2a7", False: "#c43", None: "#58a"}[met(f)]
        out.append(f'<text x="{LEFT - 8}" y="{y + 13}" class="n">{html.escape(f.name)}</text>')
        out.append(f'<rect x="{LEFT}" y="{y + 3}" width="{max(1, BAR * f.value / top):.1f}" height="{ROW - 6}" fill="{colour}"/>')
        for bound in (f.most, f.least):
            if bound is not None:
                x = LEFT + BAR * bound / top
                out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{y + ROW}" stroke="#222"/>')
        out.append(f'<text x="{LEFT + BAR + 10}" y="{y + 13}">{text_of(f.value)}</text>')
        y += ROW
    return y + 12


def svg(results, about):
    out, y = [], 60
    for name, result in results.items():
        out.append(f'<text x="10" y="{y}" class="b">{html.escape(name)}: {html.escape(result["what"])}</text>')
        y += 12
        groups = {}
        for f in result["figures"]:
            groups.setdefault(f.group, []).append(f)
        for group, figures in groups.items():
            y = svg_group(out, y, group, figures)
        y += 24
    title = f'{about["cpu"]}, {about["cores"]} cores, {about["kernel"]}, {about["compiler"]}'
    style = "text{font:12px sans-serif}.n{text-anchor:end}.g{font-weight:bold}.b{font:bold 15px sans-serif}"
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}"><style>{style}</style>'
            f'<rect width="100%" height="100%" fill="#fff"/><text x="10" y="24">{html.escape(title)}</text>'
            + "".join(out) + "</svg>\n")


def write_results(build, results, about):
    told = {
        "machine": about,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "benchmarks": {n: {**r, "figures": [{**f._asdict(), "met": met(f)} for f in r["figures"]]} for n, r in results.items()},
    }
    (build / "bench.json").write_text(json.dumps(told, indent=1) + "\n")
    (build / "bench.svg").write_text(svg(results, about))


def too_long(*_):
    raise TimeoutError(f"not at its end after {LIMIT} s")


def run_one(bench, name):
    """Its figures, or the reason why there are none; never an exception."""
    signal.alarm(LIMIT)
    try:
        return BENCHMARKS[name](bench), None
    except Skipped as e:
        return None, f"skipped: {e}"
    except Exception as e:  # pylint: disable=broad-except; one that fails must not stop the others
        return None, f"failed: {type(e).__name__}: {e}"
    finally:
        signal.alarm(0)


def last_line(results, missing, seconds):
    verdicts = [(n, f, met(f)) for n, r in results.items() for f in r["figures"] if met(f) is not None]
    missed = [f"{n}: {f.group}, {f.name}" for n, f, ok in verdicts if not ok]
    parts = [f"{len(results)} benchmarks in {seconds / 60:.1f} minutes", f"{len(verdicts) - len(missed)} bounds met",
             f"{len(missed)} missed" + (f" ({'; '.join(missed)})" if missed else "")]
    return ", ".join(parts) + "".join(f"; {n} {why.splitlines()[0]}" for n, why in missing.items())


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build-bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--only", help="names, divided by commas")
    parser.add_argument("--quick", action="store_true", help="fewer events and rounds")
    parser.add_argument("--list", action="store_true")
    return parser.parse_args()


def main():
    args = parse()
    names = args.names + (args.only.split(",") if args.only else []) or list(BENCHMARKS)
    unknown = [n for n in names if n not in BENCHMARKS]
    if args.list or unknown:
        for name, function in BENCHMARKS.items():
            print(f"{name:12} {function.__doc__.splitlines()[0]}")
        if unknown:
            print(f"there is no benchmark {', '.join(unknown)}", file=sys.stderr)
        return 2 if unknown else 0
    os.chdir(ROOT)
    bench = Bench(args.build, args.quick)
    about, results, missing, began = machine(), {}, {}, time.monotonic()
    print(", ".join(f"{k}: {v}" for k, v in about.items()), flush=True)
    signal.signal(signal.SIGALRM, too_long)
    for name in names:
        begin = time.monotonic()
        figures, why = run_one(bench, name)
        seconds = round(time.monotonic() - begin, 1)
        if figures is None:
            missing[name] = why
            print(f"\n{name}: {why}", flush=True)
            continue
        what = BENCHMARKS[name].__doc__.splitlines()[0]
        results[name] = {"what": what, "seconds": seconds, "figures": figures}
        print_table(name, f"{what} ({seconds:.0f} s)", figures)
        sys.stdout.flush()
        write_results(bench.build, results, about)  # after each: a run that is cut off has told what it has
    print(f"\nwritten: {args.build}/bench.json, {args.build}/bench.svg")
    print(last_line(results, missing, time.monotonic() - began))
    return 1 if any(why.startswith("failed") for why in missing.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
