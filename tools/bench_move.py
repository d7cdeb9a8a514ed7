"""The benchmark of moves: what a change of owner costs the stream, planned and unplanned, told from workers' journals.

Workers are `tidemark consume` on one hub and one store, a sender sends steadily. Workers join one after the other, then
one is killed. A gap is the time between the last event of a partition in one worker and its first in the next.
"""
import json
import os
import signal
import statistics
import subprocess
import time

import azurite
from bench_figure import Figure

PARTITIONS, RATE, EXPIRY = 8, 1000, 20
PATIENCE, LOOK = 90, 0.05


class Worker:
    """`tidemark consume`; entries() is its journal, as far as it has come."""

    def __init__(self, place, store, name):
        self.name, self.path = name, place.folder / f"{name}.journal"
        self.process = subprocess.Popen(
            [place.bench.build / "tools/tidemark/tidemark", "consume", "--hub", "hub", "--start", "earliest", "--store", store,
             "--owner-id", name, "--format", "none", "--journal", self.path], env=place.env, stdout=subprocess.DEVNULL)
        place.children.append(self.process)
        self.read, self.owned, self.rest, self.seen = 0, set(), b"", []

    def entries(self):
        if self.path.exists():
            with open(self.path, "rb") as f:
                f.seek(self.read)
                *lines, self.rest = (self.rest + f.read()).split(b"\n")
                self.read = f.tell()
            for entry in map(json.loads, lines):
                self.seen.append(entry)
                if entry["ev"] == "open":
                    self.owned.add(entry["partition"])
                elif entry["ev"] == "close":
                    self.owned.discard(entry["partition"])
        return self.seen

    def events(self):
        return [(e["t"], e["partition"], e["sequence"]) for e in self.entries() if e["ev"] == "event"]


def until(what, fulfilled):
    end = time.monotonic() + PATIENCE
    while not fulfilled():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {PATIENCE} s")
        time.sleep(LOOK)


def share(workers, count):
    """Until each of them reads so many partitions, and nobody any twice. Returns when."""
    def even():
        for w in workers:
            w.entries()
        return all(len(w.owned) == count for w in workers) and len(set().union(*(w.owned for w in workers))) == PARTITIONS
    until(f"{len(workers)} workers with {count} partitions each", even)
    return time.time()


def gaps_of(workers):
    """Of each change of worker in a partition: when, and how long nobody had an event of it. And the repeated events."""
    handled, gaps = {}, []
    for w in workers:
        for t, partition, sequence in w.events():
            handled.setdefault(partition, []).append((t, sequence, w.name))
    repeated = 0
    for rows in handled.values():
        rows.sort()
        repeated += len(rows) - len({sequence for _, sequence, _ in rows})
        gaps += [(after[0], after[0] - before[0]) for before, after in zip(rows, rows[1:]) if before[2] != after[2]]
    return gaps, repeated


def requests_between(workers, begin, end):
    asked = [e["operation"] for w in workers for e in w.entries() if e["ev"] == "request" and begin <= e["t"] <= end]
    return len(asked), sum(1 for o in asked if o != "partition_write")


def kill(victim, others):
    """Seconds until each partition of it is read elsewhere."""
    mine, begin = set(victim.owned), time.time()
    os.kill(victim.process.pid, signal.SIGKILL)
    victim.process.wait()
    until("taking over", lambda: mine <= {p for w in others for t, p, _ in w.events() if t > begin})
    return max(min(t for w in others for t, q, _ in w.events() if q == p and t > begin) for p in mine) - begin


def round_of(p, store, name, known_dead):
    first = [Worker(p, store, "w1")]
    share(first, PARTITIONS)
    sender = p.sender("paced", RATE * PATIENCE, RATE)
    until("first events", lambda: len({q for _, q, _ in first[0].events()}) == PARTITIONS)
    begin = time.time()
    two = first + [Worker(p, store, "w2")]
    second_done = share(two, PARTITIONS // 2)
    four = two + [Worker(p, store, n) for n in ("w3", "w4")]
    end = share(four, PARTITIONS // 4)
    until("events after the moves", lambda: all({q for t, q, _ in w.events() if t > end} >= w.owned for w in four))
    gaps, repeated = gaps_of(four)
    lengths = [g for _, g in gaps]
    asked, unwritten = requests_between(four, begin, end)
    hours = (end - begin) / 3600 * PARTITIONS
    recovered = kill(four[0], four[1:])
    sender.kill()
    return [Figure(f"planned, {name}", "1 to 2, until even", second_done - begin, "s", most=9),
            Figure(f"planned, {name}", "2 to 4, until even", end - second_done, "s", most=11),
            Figure(f"planned, {name}", "gap, mean", statistics.mean(lengths), "s", most=0.8),
            Figure(f"planned, {name}", "gap, longest", max(lengths), "s", most=2),
            Figure(f"planned moves, {name}", "moves", len(lengths), ""),
            Figure(f"planned moves, {name}", "repeated events", repeated, "", most=0),
            Figure(f"requests while 1 to 2 to 4, {name}", "all", asked / hours, "1/h/part."),
            Figure(f"requests while 1 to 2 to 4, {name}", "without checkpoints", unwritten / hours, "1/h/part."),
            Figure(f"killed, {name}", "until all is read again", recovered, "s", most=2 if known_dead else EXPIRY + 2)]


def move(bench, place):
    """See bench_processes.py."""
    figures = []
    with place(bench, PARTITIONS) as p:
        # A folder's locks tell at once that a process has ended.
        figures += round_of(p, f"file:{p.folder}/store", "file store", True)
    if azurite.installed():
        with place(bench, PARTITIONS, blobs=True) as p:
            p.worker("blob:move").until("owned").end()  # makes the container
            figures += round_of(p, "blob:move", "Azurite", False)
    return figures
