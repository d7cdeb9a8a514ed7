"""Real processes for system tests: a hub, senders, workers; their logs are judged afterwards.

Each test is a function; run() runs those named, prints TAP and cleans up after itself. Nothing sleeps
for a result: wait_for() watches what the processes have written.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import azurite  # noqa: E402
import judge  # noqa: E402

BUILD = pathlib.Path(os.environ.get("TIDEMARK_BUILD", ROOT / "build"))


class Failed(Exception):
    pass


class Skipped(Exception):
    """What the test needs is not installed."""


def figure(condition, message):
    """A figure of speed: said always, asked for where the machine is the test's alone (--long)."""
    if not condition and os.environ.get("TIDEMARK_FIGURES"):
        raise Failed(message)
    if not condition:
        print(f"# short of the figure: {message}")


def sanitized():
    """The sanitizers of what is tested, with a memory and a pace of their own; "": none."""
    options = json.loads((BUILD / "meson-info" / "intro-buildoptions.json").read_text())
    return next(o["value"] for o in options if o["name"] == "b_sanitize").replace("none", "")


def check(condition, message):
    if not condition:
        raise Failed(message)


def wait_for(what, condition, seconds=60.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)  # between two looks
    raise Failed(f"waited {seconds:.0f} s for {what}")


class World:
    """A hub, a store and whatever processes a test starts; closed as a whole."""

    def __init__(self, partitions=8, hub_args=(), blobs=False):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="tidemark-test-"))
        self.processes, self.workers = [], []
        self.env = dict(os.environ)
        for name in ("EVENTHUB_CONNECTION_STRING", "AZURE_STORAGE_CONNECTION_STRING"):
            self.env.pop(name, None)
        self.hub = self.spawn([BUILD / "tools/hub/tidemark-hub", "--listen", "127.0.0.1:0", "--control",
                               "127.0.0.1:0", "--hub", f"t:{partitions}", *hub_args], stdout=subprocess.PIPE,
                              stderr=open(self.dir / "hub.log", "wb"), text=True)
        line = self.hub.stdout.readline()
        check(line, f"the hub did not start: {(self.dir / 'hub.log').read_text()}")
        self.ready = json.loads(line)
        self.env["EVENTHUB_CONNECTION_STRING"] = self.ready["connection_string"]
        self.env["TIDEMARK_STORE"] = f"file:{self.dir}/store"
        self.partitions = partitions
        if blobs:
            try:
                self.start_azurite(**(blobs if isinstance(blobs, dict) else {}))
            except Exception:
                self.close()
                raise

    def start_azurite(self, **kw):
        if not azurite.installed():
            raise Skipped("Azurite is not installed: './run setup' does it")
        self.azurite, text = azurite.start(**kw)
        check(self.azurite, "Azurite did not start: is there a node of version 20 or newer?")
        self.env["AZURE_STORAGE_CONNECTION_STRING"] = text
        self.processes.append(self.azurite)
        self.env["TIDEMARK_STORE"] = "blob:checkpoints"

    def checkpoints(self, *args):
        """partition -> sequence number, as the store has them."""
        out = self.tidemark("checkpoint", "list", "--json", *args)
        check(out.returncode == 0, f"checkpoint list failed: {out.stderr}")
        rows = map(json.loads, out.stdout.splitlines())
        return {r["partition"]: r["sequence"] for r in rows if r["sequence"] is not None}

    def spawn(self, args, **kw):
        p = subprocess.Popen([str(a) for a in args], env=kw.pop("env", self.env), **kw)
        self.processes.append(p)
        return p

    def tidemark_program(self):
        return BUILD / "tools/tidemark/tidemark"

    def tidemark(self, *args, **kw):
        """Runs a command to its end."""
        return subprocess.run([str(BUILD / "tools/tidemark/tidemark"), *map(str, args), "--hub", "t"], env=self.env,
                              capture_output=True, text=True, timeout=kw.pop("timeout", 120), **kw)

    def send_lines(self, lines, *args):
        out = self.tidemark("send", "--json", *args, input="".join(lines))
        check(out.returncode == 0, f"send failed: {out.stderr}")
        return json.loads(out.stdout)["acknowledged"]

    def sender(self, lines, *args):
        """Sends in the background."""
        feed = self.dir / f"feed-{len(self.processes)}"
        feed.write_text("".join(lines))
        return self.spawn([BUILD / "tools/tidemark/tidemark", "send", "--json", "--hub", "t", *args], stdin=open(feed),
                          stdout=subprocess.PIPE, stderr=open(self.dir / "send.log", "ab"), text=True)

    def worker(self, name, *args):
        w = Worker(self, name, args)
        self.workers.append(w)
        return w

    def state(self):
        with urllib.request.urlopen(f"http://{self.ready['control']}/state", timeout=10) as answer:
            hub = next(h for h in json.load(answer)["hubs"] if h["name"] == "t")
        return {p["id"]: p for p in hub["partitions"]}

    def last(self):
        return {p: s["last_sequence"] for p, s in self.state().items()}

    def fault(self, **fault):
        request = urllib.request.Request(f"http://{self.ready['control']}/faults", json.dumps(fault).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def owners(self):
        """partition -> worker, as the journals tell."""
        owners = {}
        for w in self.workers:
            for p in w.owned():
                owners[p] = w.name
        return owners

    def all_owned(self, names, seconds=60):
        def owned():
            owners = self.owners()
            return len(owners) == self.partitions and set(owners.values()) == set(names)
        wait_for(f"all partitions with {names}", owned, seconds)

    def caught_up(self):
        done = {}
        for w in self.workers:
            w.read()
            for p, s in w.done.items():
                done[p] = max(done.get(p, -1), s)
        return all(done.get(p, -1) >= s for p, s in self.last().items())

    def handled(self):
        return judge.handled([(w.name, w.output, w.journal) for w in self.workers])

    def judged(self, sent_per_key):
        return judge.judge(sent_per_key, [(w.name, w.output, w.journal) for w in self.workers])

    def close(self):
        for p in self.processes:
            if p.poll() is None:
                p.kill()
                p.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


class Worker:
    """One `tidemark consume`; what its journal tells is read as it grows."""

    def __init__(self, world, name, args):
        self.world, self.name = world, name
        number = len(world.workers)
        self.output, self.journal = world.dir / f"{number}-{name}.out", world.dir / f"{number}-{name}.journal"
        self.log = world.dir / f"{number}-{name}.log"
        self.summary_path = world.dir / f"{number}-{name}.summary"
        self.place, self.rest = 0, b""
        self.open, self.done, self.events, self.lines = set(), {}, 0, []
        self.started = time.time()
        self.process = world.spawn(
            [BUILD / "tools/tidemark/tidemark", "consume", "--hub", "t", "--owner-id", name, "--format", "json",
             "--output", self.output, "--journal", self.journal, "--summary", self.summary_path, *args],
            stdout=subprocess.DEVNULL, stderr=open(self.log, "wb"))

    def read(self):
        try:
            with open(self.journal, "rb") as f:
                f.seek(self.place)
                data = f.read()
        except FileNotFoundError:
            return
        self.place += len(data)
        lines = (self.rest + data).split(b"\n")
        self.rest = lines.pop()
        for line in lines:
            entry = json.loads(line)
            self.lines.append(entry)
            p = str(entry.get("partition", ""))
            if entry["ev"] == "open":
                self.open.add(p)
            elif entry["ev"] == "close":
                self.open.discard(p)
            elif entry["ev"] == "event":
                self.events += 1
                self.done[p] = max(self.done.get(p, -1), entry["sequence"])

    def owned(self):
        self.read()
        return self.open if self.process.poll() is None else set()

    def count(self):
        self.read()
        return self.events

    def of(self, ev):
        self.read()
        return [e for e in self.lines if e["ev"] == ev]

    def alive(self):
        return self.process.poll() is None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def wake(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self, seconds=40):
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired as e:
            raise Failed(f"{self.name} did not stop in {seconds} s: {self.log.read_text()[-2000:]}") from e

    def summary(self):
        return json.loads(self.summary_path.read_text())


def keyed_lines(keys, each, separator="|"):
    """Lines KEY|KEY NUMBER, and what judge() wants to know of them."""
    lines = [f"k{k}{separator}k{k} {n}\n" for n in range(each) for k in range(keys)]
    return lines, {f"k{k}": each for k in range(keys)}


def repeats_between(rows, begin, end):
    """Handlings of an event that had been handled before, in a span of time."""
    seen, repeats = set(), []
    for row in rows:
        at = (row[2], row[3])
        if at in seen and begin <= row[0] <= end:
            repeats.append(row)
        seen.add(at)
    return repeats


def run(*tests):
    wanted = sys.argv[1:]
    tests = [t for t in tests if not wanted or t.__name__ in wanted]
    print(f"1..{len(tests)}")
    failed = 0
    for number, test in enumerate(tests, 1):
        began = time.monotonic()
        try:
            test()
            print(f"ok {number} - {test.__name__} # {time.monotonic() - began:.1f} s")
        except Skipped as e:
            print(f"ok {number} - {test.__name__} # SKIP {e}")
        except Exception as e:  # noqa: BLE001: a test's any failure is reported as that
            failed += 1
            for line in traceback.format_exc().splitlines():
                print("#", line)
            print(f"not ok {number} - {test.__name__}: {e}")
        sys.stdout.flush()
    sys.exit(1 if failed else 0)


class world:
    """with world(partitions=4) as w: ..."""

    def __init__(self, *args, **kw):
        self.args, self.kw = args, kw

    def __enter__(self):
        self.world = World(*self.args, **self.kw)
        return self.world

    def __exit__(self, kind, value, trace):
        if kind is not None:
            for w in self.world.workers:
                tail = w.log.read_text(errors="replace")[-1500:] if w.log.exists() else ""
                for line in tail.splitlines()[-12:]:
                    print(f"# {w.name}: {line}")
        if kind is not None and os.environ.get("TIDEMARK_KEEP"):
            print(f"# kept: {self.world.dir}")
            shutil.copytree(self.world.dir, os.environ["TIDEMARK_KEEP"], dirs_exist_ok=True)
        self.world.close()
        return False
