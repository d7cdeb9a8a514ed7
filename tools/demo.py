#!/usr/bin/env python3
"""./run demo: workers join, die and leave under load, and the logs are counted at the end.

A local hub with 8 partitions, a producer of keyed events and a worker; a second worker joins; the
first is killed with SIGKILL; a third starts and is stopped with SIGTERM. A live table shows it.
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

import azurite
import judge

PARTITIONS, KEYS, EVENTS, RATE = 8, 200, 60000, 3000


class Tail:
    """What a worker's journal has told so far."""

    def __init__(self, path):
        self.path, self.place, self.rest = path, 0, b""

    def news(self):
        try:
            with open(self.path, "rb") as f:
                f.seek(self.place)
                data = f.read()
        except FileNotFoundError:
            return
        self.place += len(data)
        lines = (self.rest + data).split(b"\n")
        self.rest = lines.pop()
        for line in lines:
            try:
                yield json.loads(line)
            except ValueError:
                pass


class Worker:
    def __init__(self, demo, name):
        self.name = name
        self.output, self.journal = demo.dir / f"{name}.out", demo.dir / f"{name}.journal"
        self.errors = open(demo.dir / f"{name}.log", "wb")
        self.tail, self.note = Tail(self.journal), ""
        self.process = subprocess.Popen(
            [demo.tidemark, "consume", "--store", demo.store, *demo.store_args, "--owner-id", name, "--order", "key", "--threads", "8",
             "--start", "earliest", "--checkpoint-interval", "1s", "--work", "1ms", "--format", "json",
             "--output", self.output, "--journal", self.journal, *demo.common],
            env=demo.env, stdout=subprocess.DEVNULL, stderr=self.errors)

    def alive(self):
        return self.process.poll() is None


class Demo:
    def __init__(self, build, in_blobs):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="tidemark-demo-"))
        self.tidemark = f"{build}/tools/tidemark/tidemark"
        hub_program = f"{build}/tools/hub/tidemark-hub"
        self.children, self.workers = [], []
        self.env = dict(os.environ)
        self.hub = subprocess.Popen([hub_program, "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0",
                                     "--hub", f"demo:{PARTITIONS}"], stdout=subprocess.PIPE, text=True)
        self.children.append(self.hub)
        line = self.hub.stdout.readline()
        if not line:
            raise SystemExit("the local hub did not start")
        ready = json.loads(line)
        self.control = ready["control"]
        self.common = ["--hub", "demo"]
        self.env["EVENTHUB_CONNECTION_STRING"] = ready["connection_string"]
        self.store, self.store_args = f"file:{self.dir}/store", []
        if in_blobs:
            self.start_azurite()
        self.owners, self.done, self.rates = {}, {}, {}
        self.started = time.monotonic()
        self.drawn = 0

    def start_azurite(self):
        child, connection_string = azurite.start()
        if child is None:
            self.end(keep=False)
            raise SystemExit("Azurite did not start: `npm ci` in tests/interop installs it")
        self.children.append(child)
        self.env["AZURE_STORAGE_CONNECTION_STRING"] = connection_string
        self.store, self.store_args = "blob:checkpoints", ["--create-container"]

    def state(self):
        with urllib.request.urlopen(f"http://{self.control}/state", timeout=5) as answer:
            hub = next(h for h in json.load(answer)["hubs"] if h["name"] == "demo")
        return {p["id"]: p["last_sequence"] for p in hub["partitions"]}

    def produce(self):
        feed = self.dir / "feed"
        with open(feed, "w") as f:
            for n in range(EVENTS):
                f.write(f"device-{n % KEYS}|device-{n % KEYS} {n // KEYS}\n")
        self.sender = subprocess.Popen([self.tidemark, "send", "--key-separator", "|", "--rate", f"{RATE}/s", "--json",
                                        *self.common], env=self.env, stdin=open(feed), stdout=subprocess.PIPE,
                                       stderr=open(self.dir / "send.log", "wb"), text=True)
        self.children.append(self.sender)

    def join(self, name):
        self.workers.append(Worker(self, name))
        self.children.append(self.workers[-1].process)
        return self.workers[-1]

    def look(self):
        for w in self.workers:
            for entry in w.tail.news():
                p = str(entry.get("partition", ""))
                if entry["ev"] == "open":
                    self.owners[p] = w.name
                elif entry["ev"] == "close" and self.owners.get(p) == w.name:
                    del self.owners[p]
                elif entry["ev"] == "event":
                    self.done[p] = max(self.done.get(p, -1), entry["sequence"])
                    self.rates[p] = self.rates.get(p, 0) + 1

    def draw(self, title, seconds):
        last = self.state()
        rows = [f"{time.monotonic() - self.started:5.1f} s  {title}", "",
                "partition  owner      events/s   behind"]
        for p in sorted(last, key=int):
            owner = self.owners.get(p, "-")
            rows.append(f"{p:>9}  {owner:<9} {self.rates.get(p, 0) / seconds:>9.0f} "
                        f"{last[p] - self.done.get(p, -1):>8}")
        rows.append("")
        rows.append("  ".join(f"{w.name}: {w.note or ('running' if w.alive() else 'ended')}" for w in self.workers))
        self.rates = {}
        if sys.stdout.isatty():
            if self.drawn:
                sys.stdout.write(f"\x1b[{self.drawn}F")
            sys.stdout.write("".join(f"\x1b[2K{r}\n" for r in rows))
            self.drawn = len(rows)
        else:
            owned = {w.name: sum(o == w.name for o in self.owners.values()) for w in self.workers if w.alive()}
            behind = sum(last[p] - self.done.get(p, -1) for p in last)
            print(f"{rows[0]}: {', '.join(f'{n} owns {c}' for n, c in owned.items())}, behind {behind}")
        sys.stdout.flush()
        return last

    def watch(self, title, seconds=0.0, until=None, limit=120.0):
        end = time.monotonic() + (limit if until else seconds)
        step = time.monotonic()
        while time.monotonic() < end:
            time.sleep(0.5)  # the table's pace
            self.look()
            now = time.monotonic()
            last = self.draw(title, now - step)
            step = now
            if until and until(last):
                return
            if self.sender.poll() not in (None, 0):
                raise SystemExit(f"the producer failed: {(self.dir / 'send.log').read_text()[-500:]}")

    def caught_up(self, last):
        return self.sender.poll() is not None and all(self.done.get(p, -1) >= s for p, s in last.items())

    def stop(self, worker):
        worker.process.send_signal(signal.SIGTERM)
        worker.process.wait(40)

    def run(self):
        first = self.join("worker-1")
        self.produce()
        self.watch("one worker owns everything", 5)
        self.join("worker-2")
        self.watch("a second worker joins: half of the partitions are handed over, drained",
                   until=lambda last: sum(o == "worker-2" for o in self.owners.values()) == PARTITIONS // 2, limit=20)
        self.watch("two workers share", 2)
        first.process.kill()
        first.process.wait()
        first.note = "killed (SIGKILL)"
        self.owners = {p: o for p, o in self.owners.items() if o != "worker-1"}
        third = self.join("worker-3")
        self.watch("worker-1 was killed; worker-3 starts; what the dead one had is taken over and shared",
                   until=lambda last: len(self.owners) == PARTITIONS and "worker-3" in self.owners.values(), limit=45)
        self.watch("two workers share again", 3)
        third.note = "stopping (SIGTERM)"
        self.stop(third)
        third.note = "stopped (SIGTERM)"
        self.watch("worker-3 was stopped and has handed over; worker-2 finishes", until=self.caught_up)
        self.stop(self.workers[1])
        self.workers[1].note = "stopped"

    def verdict(self):
        acknowledged = json.loads(self.sender.stdout.readline() or "{}").get("acknowledged", 0) \
            if self.sender.stdout else 0
        if acknowledged != EVENTS:
            print(f"the hub acknowledged {acknowledged} of {EVENTS} events")
        sent = {f"device-{k}": EVENTS // KEYS for k in range(KEYS)}
        return judge.judge(sent, [(w.name, w.output, w.journal) for w in self.workers])

    def end(self, keep):
        for child in self.children:
            if child.poll() is None:
                child.kill()
                child.wait()
        if keep:
            print(f"the logs are in {self.dir}")
        else:
            shutil.rmtree(self.dir, ignore_errors=True)


def main():
    options = argparse.ArgumentParser(prog="./run demo", description=__doc__.splitlines()[0])
    options.add_argument("--build", default="build", help=argparse.SUPPRESS)
    options.add_argument("--azurite", action="store_true", help="keep the checkpoints in Azurite's blobs")
    options.add_argument("--keep", action="store_true", help="keep the workers' logs")
    args = options.parse_args()
    demo = Demo(args.build, args.azurite)
    failed = True
    try:
        demo.run()
        verdict = demo.verdict()
        print(judge.sentence(verdict))
        failed = bool(verdict["lost"] or verdict["out_of_order"])
    finally:
        demo.end(keep=args.keep or failed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
