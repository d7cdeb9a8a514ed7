"""The benchmarks of whole processes: a hub, workers and senders side by side, beside the official JavaScript SDK.

tests/bench/bench_worker.c, tests/bench/bench_send.c and tests/interop/js_bench.mjs are what is started; they print
the same lines. Each benchmark has a hub of its own (a process), and where it says so an Azurite.
"""
import contextlib
import functools
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import azurite
import bench_move
from bench_figure import Figure, Skipped

ROOT = pathlib.Path(__file__).resolve().parent.parent
JS = ROOT / "tests/interop/js_bench.mjs"
sys.path.insert(0, str(ROOT / "tests/interop"))
import sdks  # noqa: E402
PATIENCE = 180


class Run:
    """A process that prints figures; `at` has the second, since it was started, in which each came."""

    def __init__(self, place, command, cwd=None):
        self.began, self.at, self.got = time.monotonic(), {}, {}
        self.process = subprocess.Popen([str(c) for c in (*place.priority, *command)], env=place.env, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, cwd=cwd)
        place.children.append(self.process)
        self.limit = threading.Timer(PATIENCE, self.process.kill)
        self.limit.start()

    def until(self, name=None):
        """Reads up to a figure; without a name to the end."""
        for line in self.process.stdout:
            fields = line.rstrip("\n").split("\t")
            if len(fields) == 3:
                self.at[fields[0]], self.got[fields[0]] = time.monotonic() - self.began, float(fields[1])
            if fields[0] == name:
                return self
        self.limit.cancel()
        code = self.process.wait()
        if name or code:
            raise subprocess.SubprocessError(f"{self.process.args[0]} ended with {code} before '{name or 'its end'}'")
        return self

    def end(self):
        """Closes its input, which ends a worker that has no number of events to handle."""
        self.process.stdin.close()
        return self.until()

    def kill(self):
        self.limit.cancel()
        self.process.kill()
        return self

    def memory(self, what):
        """MiB: VmRSS, RssAnon (what is no file's) now, VmHWM, the most there ever was; Pss (a page that n processes
        have counts an nth), Private (what no other process has)."""
        found = {}
        for table in ("status", "smaps_rollup"):
            for line in pathlib.Path(f"/proc/{self.process.pid}/{table}").read_text().splitlines():
                name, _, rest = line.partition(":")
                if rest.endswith("kB"):
                    found[name] = int(rest.split()[0]) / 1024
        found["Private"] = found["Private_Clean"] + found["Private_Dirty"]
        return found[what]


class Place:
    """A hub, a folder, and where wanted an Azurite."""

    def __init__(self, bench, partitions, *hub_args, preload=None, blobs=False, tls=False, priority=()):
        self.priority = priority  # what begins the command of each process
        self.bench, self.children, self.folder = bench, [], pathlib.Path(tempfile.mkdtemp(prefix="tidemark-bench-"))
        self.env, self.ca, self.partitions = {**os.environ, "EVENTHUB_CONNECTION_STRING": ""}, None, partitions
        args = ["--listen", "127.0.0.1:0", "--hub", f"hub:{partitions}", "--retention-bytes", "1GiB", *hub_args]
        if preload:
            args += ["--preload", f"hub:{preload}"]
        if tls:
            args += ["--tls-cert", *self.certificate()]
        hub = subprocess.Popen([*priority, bench.build / "tools/hub/tidemark-hub", *args], stdout=subprocess.PIPE, text=True)
        self.children.append(hub)
        text = json.loads(hub.stdout.readline())["connection_string"]
        self.env["EVENTHUB_CONNECTION_STRING"] = text.replace(";UseDevelopmentEmulator=true", "") if tls else text
        if blobs and azurite.installed():
            service, self.env["AZURE_STORAGE_CONNECTION_STRING"] = azurite.start()
            self.children.append(service)
        self.blobs = "AZURE_STORAGE_CONNECTION_STRING" in self.env if blobs else False

    def certificate(self):
        cert, key = self.folder / "cert.pem", self.folder / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
        self.ca = cert
        return cert, "--tls-key", key

    def worker(self, store, **settings):
        told = [f"{k}={v}" for k, v in {"partitions": self.partitions, **settings}.items()]
        return Run(self, [self.bench.build / "tests/bench_worker", store, *told, *([f"ca={self.ca}"] if self.ca else [])])

    def sender(self, *args):
        return Run(self, [self.bench.build / "tests/bench_send", *args, *([self.ca] if self.ca else [])])

    def js(self, *args):
        return Run(self, ["node", JS, *args])

    def close(self):
        for child in reversed(self.children):  # the hub last, or the others would complain
            child.kill()
            child.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def place(bench, *args, **kw):
    p = Place(bench, *args, **kw)
    try:
        yield p
    finally:
        p.close()


def has_js():
    return azurite.installed() and (ROOT / "tests/interop/node_modules/@azure/event-hubs").exists()


# ---- the benchmarks ----

def start_rows(p, store, rounds):
    """Seconds to the first event, and to one of each partition: fresh, and with the checkpoints of a run before."""
    rows = {}
    for n in range(rounds):
        for kind in ("fresh", "checkpoints"):
            # Handlers sleep a little after they have told, so that events are left for the next run.
            run = p.worker(f"{store}{n}", checkpoint=100, handler_us=50).until("all")
            run.end()
            rows.setdefault(kind, []).append((run.at["first"], run.at["all"]))
    return {kind: [statistics.median(column) for column in zip(*row)] for kind, row in rows.items()}


def start(bench):
    """Start of a process to its first event, and to one of each partition; median."""
    figures, rounds = [], 3 if bench.quick else 7
    for partitions, most in ((4, 150), (32, 1000)):
        with place(bench, partitions, preload="400000:100", blobs=True) as p:
            stores = {"file store": f"file:{p.folder}/store", **({"Azurite": "blob:start"} if p.blobs else {})}
            for name, store in stores.items():
                for kind, (first, whole) in start_rows(p, store, rounds).items():
                    group = f"{partitions} partitions, {name}, {kind}"
                    figures.append(Figure(group, "first event", first * 1e3, "ms", most=most))
                    figures.append(Figure(group, "of each partition", whole * 1e3, "ms"))
            if has_js():
                run = p.js("drain", "peer", partitions, 400000, 0, 1000, 1000, 100).until("all").kill()
                group = f"{partitions} partitions, JavaScript SDK, greedy, each 100 ms, fresh"
                figures.append(Figure(group, "first event", run.at["first"] * 1e3, "ms"))
                figures.append(Figure(group, "of each partition", run.at["all"] * 1e3, "ms"))
    return figures


def memory(bench):
    """What a process holds: idle, and behind with handlers that are slow."""
    figures = []
    for partitions in (1, 32, 1000):
        with place(bench, partitions) as p:
            run = p.worker("memory").until("owned")
            figures.append(Figure("idle", f"{partitions} partitions, RSS", run.memory("VmRSS"), "MiB",
                                  most=8 if partitions == 32 else None))
            figures += [Figure("idle", f"{partitions} partitions, {name}", run.memory(what), "MiB")
                        for name, what in (("no file's", "RssAnon"), ("PSS", "Pss"), ("no other's", "Private"))]
            if partitions == 32:
                bare = Run(p, [bench.build / "tests/bench_bare"]).until("ready")
                figures += [Figure("idle", f"libraries alone, {name}", bare.memory(what), "MiB")
                            for name, what in (("RSS", "VmRSS"), ("PSS", "Pss"), ("no other's", "Private"))]
                bare.end()
            run.end()
    budget = 32
    with place(bench, 32, preload="100000:1KiB") as p:
        settings = {"bytes_max": budget << 20, "prefetch": 5000, "handler_us": 2000}
        run = p.worker("memory", events=4000, **settings).until("owned")
        run.until("events")
        peak = run.memory("VmHWM")
        run.until()
    with place(bench, 32) as p:
        run = p.worker("memory", **{**settings, "events": 0}).until("owned")
        idle = run.memory("VmRSS")
        run.end()
    figures.append(Figure(f"behind, budget {budget} MiB", "peak above idle", peak - idle, "MiB"))
    figures.append(Figure(f"behind, by the budget of {budget} MiB", "peak above idle", (peak - idle) / budget, "x", most=1.1))
    return figures


RANKS = ("p50", "p99", "p99.9")


REAL_TIME = ("chrt", "--fifo", "1")


def may_real_time():
    return subprocess.run([*REAL_TIME, "true"], capture_output=True, check=False).returncode == 0


def latency_round(bench, tls, events, warm, priority):
    with place(bench, 4, tls=tls, priority=priority) as p:
        run = p.worker("memory", events=events, warm=warm, latency=1).until("owned")
        p.sender("paced", events, 1000).until()
        return run.until().got


def latency(bench):
    """1,000 single events a second, from the call that sends one to the callback; rounds take turns, medians."""
    figures, warm = [], 500
    events, rounds = (3000, 3) if bench.quick else (10000, 5)
    ways = {"bare chain": lambda: bench.program("bench_chain", events, 1000)}
    # Where other processes want the cores, a woken thread waits for them up to a tick (4 ms): with real-time
    # priority it does not, and what is left is ours.
    for name, priority in (("", ()), *(((", real-time priority", REAL_TIME),) if may_real_time() else ())):
        for way, tls in (("plain", False), ("TLS", True)):
            ways[f"Tidemark, {way}{name}"] = functools.partial(latency_round, bench, tls, events, warm, priority)
    got = {way: [] for way in ways}
    for _ in range(rounds):
        for way, once in ways.items():
            got[way].append(once())
    for way, runs in got.items():
        for n in RANKS:
            bound = 2 if n == "p99" and way != "bare chain" else None
            figures.append(Figure(way, n, statistics.median(r[n] for r in runs), "ms", most=bound))
        figures += [Figure(way, f"p99, {which.__name__} of rounds", which(r["p99"] for r in runs), "ms")
                    for which in (min, max)]
    for settings, batch in (("batches of 1,000", 1000), ("defaults", 0)) if has_js() else ():
        with place(bench, 4, blobs=True) as p:
            run = p.js("latency", "peer", 4, events, warm, batch).until("owned")
            p.sender("paced", events, 1000).until()
            run.until()
            figures += [Figure(f"JavaScript SDK, plain, {settings}", n, run.got[n], "ms") for n in RANKS]
    return figures


def per_event(run):
    return run.got["cpu"] / run.got["events"] * 1e6


def send(bench):
    """Batches of 100 events of 1 KiB, 16 unanswered, beside the JavaScript SDK; turns, the best of each."""
    ours, theirs = [], []
    with place(bench, 4) as p:
        for _ in range(2 if bench.quick else 4):
            ours.append(p.sender("batches", 50000, 1024).until())
            if has_js():
                theirs.append(p.js("send", 5000, 1024).until())
    subjects = {"Tidemark": min(ours, key=per_event), **({"JavaScript SDK": min(theirs, key=per_event)} if theirs else {})}
    figures = [Figure("CPU", n, per_event(r), "us/event") for n, r in subjects.items()]
    figures += [Figure("rate", n, r.got["events"] / r.got["seconds"], "events/s") for n, r in subjects.items()]
    if theirs:
        times = per_event(subjects["JavaScript SDK"]) / per_event(subjects["Tidemark"])
        figures.append(Figure("CPU, theirs by ours", "JavaScript SDK", times, "x", least=5))
    return figures


def lanes(bench):
    """Key lanes with handlers that sleep: the share of threads / handler time that is reached."""
    figures = []
    for ms in (1, 5, 10):
        for threads in (16, 64, 256):
            events = min(200000, threads * 1000 // ms * (2 if bench.quick else 4))
            with place(bench, 4, preload=f"{events * 2}:100:5000") as p:
                got = p.worker("memory", events=events, warm=events // 4, threads=threads, key=1,
                               handler_us=ms * 1000).until().got
            rate = got["events"] / got["seconds"]
            group = f"{ms} ms, {threads} threads"
            figures.append(Figure(group, "of threads / handler time", rate / (threads * 1000 / ms), "", least=0.9))
            # A sleep takes longer than it was told: beside it what is left to the lanes.
            share = got["handlers"] / (threads * got["seconds"])
            figures.append(Figure(group, "of threads' time in handlers", share, ""))
            figures.append(Figure(group, "cores used", got["cpu"] / got["seconds"], ""))
    return figures


def other_sdk(make):
    """The command of an SDK that is installed into the build folder first."""
    def install(bench):
        try:
            return make(bench.build / "sdks", "bench")
        except sdks.Missing as e:
            raise Skipped(str(e)) from e
    return install


def js_sdk(_bench):
    if not has_js():
        raise Skipped("the JavaScript packages are not installed: './run setup' does it")
    return ["node", JS, "drain"]


# How it is made, how many times our CPU it is at least to take, and how many events it drains in batches of 1,000 and
# by its defaults.
PEERS = {"JavaScript SDK": (js_sdk, 15, 200000, 6000), "Python SDK": (other_sdk(sdks.python), 20, 60000, 20000),
         "Go SDK": (other_sdk(sdks.go), 5, 200000, 60000), "Java SDK": (other_sdk(sdks.java), 5, 400000, 6000)}


def handled_by(run):
    return run.got["events"] + run.got["warm"]


def found_peers(bench):
    found = {}
    for name, (make, *rest) in PEERS.items():
        try:
            found[name] = (make(bench), *rest)
        except Skipped as e:
            print(f"# without the {name}: {e}")
    return found


def processor(bench):
    """The processor beside those of the official SDKs: same hub and events, checkpoints to Azurite by the same policy."""
    if not azurite.installed():
        raise Skipped("Azurite is not installed: './run setup' does it")
    figures, peers = [], found_peers(bench)
    # Ours once more with handlers that sleep, so that Azurite has time for its checkpoints: the library does not wait
    # for one, and writes few in a short drain.
    for group, batch, every, pause, held in (("batches of 1,000", 1000, 1000, 20000, 400000), ("defaults", 0, 10, 3000, 6000)):
        runs = {}
        with place(bench, 4, preload="1000000:100", blobs=True) as p:
            for n, (name, (command, _, large, small)) in enumerate(peers.items()):
                events = large if batch else small
                runs[name] = Run(p, [*command, f"peer{n}", 4, events, events // 2, batch, every]).until()
            free = p.worker("blob:free", events=1000000, warm=100000, batch=batch, checkpoint=every).until()
            ours = p.worker("blob:ours", events=held, warm=held // 10, batch=batch, checkpoint=every, handler_us=pause).until()
        runs = {"Tidemark, as slow as Azurite": ours, **runs}
        all_runs = {"Tidemark": free, **runs}
        figures += [Figure(f"CPU s per million events, {group}", n, per_event(r), "s") for n, r in all_runs.items()]
        figures += [Figure(f"rate, {group}", n, r.got["events"] / r.got["seconds"], "events/s") for n, r in all_runs.items()]
        figures += [Figure(f"events a checkpoint, {group}", n, handled_by(r) / max(1, r.got["checkpoints"]), "")
                    for n, r in all_runs.items()]
        figures += [Figure(f"CPU, theirs by ours, {group}", n, per_event(runs[n]) / per_event(free), "x", least=peer[1])
                    for n, peer in peers.items()]
        figures += [Figure(f"CPU, theirs by ours as slow as Azurite, {group}", n, per_event(runs[n]) / per_event(ours), "x",
                           least=peer[1]) for n, peer in peers.items()]
    return figures


def store(bench):
    """What an idle processor asks of Azurite, and how many checkpoints it takes."""
    if not azurite.installed():
        raise Skipped("Azurite is not installed: './run setup' does it")
    figures, seconds = [], 20 if bench.quick else 60
    for partitions in (4, 32):
        with place(bench, partitions, blobs=True) as p:
            counts = []
            for n, wait in enumerate((5, 5 + seconds)):
                run = p.worker(f"blob:idle{n}").until("owned")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    run.process.wait(wait)
                counts.append(run.end().got["requests"])
            hour = (counts[1] - counts[0]) * 3600 / seconds
            # JavaScript: 6 (1 + partitions) a minute, renewed each 10 s
            figures.append(Figure(f"idle, {partitions} partitions", "requests", hour / partitions, "1/h/part.",
                                  most=6 * 60 * (1 + partitions) / partitions / 4))
    run = subprocess.run([bench.build / "tests/bench_stores", ROOT / "tests"], stdout=subprocess.PIPE, text=True,
                         timeout=PATIENCE, check=True)
    for name, rate in re.findall(r"^(.*): (\d+) checkpoints/s", run.stdout, re.M):
        figures.append(Figure("checkpoints one after the other, and 32 at once", name, float(rate), "1/s"))
    return figures


def move(bench):
    """Moves of partitions: 1 to 2 to 4 workers at 1,000 events a second, then one is killed."""
    return bench_move.move(bench, place)


BENCHMARKS = {f.__name__: f for f in (start, memory, latency, send, lanes, processor, store, move)}
