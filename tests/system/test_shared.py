#!/usr/bin/env python3
"""One consumer group, official JavaScript processors and Tidemark's, by the official ownership records."""
import collections
import json
import os
import signal
import time

from harness import ROOT, check, run, wait_for, world

INTEROP = ROOT / "tests/interop"
INTERVAL_MS, EXPIRY_MS = 1000, 4000
SHARED = ("--create-container", "--claims", "shared", "--heartbeat", f"{INTERVAL_MS}ms", "--expiry", f"{EXPIRY_MS}ms",
          "--checkpoint-interval", "300ms")
EVENTS_PER_S = 200


class Official:
    """A processor of an official SDK; to the judge it looks like one of ours."""

    def __init__(self, w, name, command):
        number = len(w.workers)
        self.name, self.open, self.place, self.lines = name, set(), 0, []
        self.output, self.journal = w.dir / f"{number}-{name}.out", w.dir / f"{number}-{name}.journal"
        self.log = w.dir / f"{number}-{name}.log"
        self.output.touch()
        self.journal.touch()
        w.workers.append(self)
        self.process = w.spawn(command(self), stderr=open(self.log, "wb"), stdout=open(self.log, "ab"))

    def read(self):
        with open(self.journal) as f:
            f.seek(self.place)
            data = f.read()
        whole = data[:data.rfind("\n") + 1]
        self.place += len(whole.encode())
        for line in whole.splitlines():
            entry = json.loads(line)
            self.lines.append(entry)
            (self.open.add if entry["ev"] == "open" else self.open.discard)(entry["partition"])

    def owned(self):
        self.read()
        return self.open if self.process.poll() is None else set()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, seconds=40):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


def js(w, name, strategy, expiry_ms=EXPIRY_MS):
    return Official(w, name, lambda o: ["node", INTEROP / "js_worker.mjs", "t", "checkpoints", o.output, strategy,
                                        str(INTERVAL_MS), str(expiry_ms), o.journal])


def rows(path):
    """The whole lines of a worker's output."""
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def counts(w, names):
    """name -> partitions read by those who live; None while one is read twice or not at all."""
    held = collections.Counter({name: 0 for name in names})
    read = collections.Counter()
    for worker in w.workers:
        for p in worker.owned():
            read[p] += 1
            held[worker.name] += 1
    whole = len(read) == w.partitions and max(read.values(), default=0) == 1
    return held if whole else None


def is_fair(w, names):
    held = counts(w, names)
    return held is not None and (not held or max(held.values()) - min(held.values()) <= 1)


def opened(w):
    for worker in w.workers:
        worker.read()
    return sum(e["ev"] == "open" for worker in w.workers for e in worker.lines)


def await_fair(w, names, seconds, still=0.0):
    """Fair within one; then nothing may move for so long."""
    def fair():
        return is_fair(w, names)
    began = time.monotonic()
    wait_for(f"a fair share for {sorted(names)}, now {counts(w, names)}", fair, seconds)
    took = time.monotonic() - began
    before, end = opened(w), time.monotonic() + still
    wait_for("the time of rest", lambda: time.monotonic() >= end or not fair(), still + 5)
    check(still == 0 or (fair() and opened(w) == before), f"{opened(w) - before} partitions moved at rest")
    return took


def handled(w):
    """(partition, sequence) -> how often."""
    seen = collections.Counter()
    for worker in w.workers:
        for row in rows(worker.output):
            seen[(row["partition"], row["sequence"])] += 1
    return seen


def judge(w, sender, kills, patience=30):
    """After the end of the stream: nothing is lost; what was repeated follows from kills and takings."""
    sender.terminate()
    sender.wait()
    last = w.last()

    behind, places = dict.fromkeys(last, 0), dict.fromkeys(w.workers, 0)
    done = collections.defaultdict(lambda: -1)

    def caught_up():
        for worker in w.workers:
            with open(worker.output, "rb") as f:
                f.seek(places[worker])
                whole = f.read().rpartition(b"\n")[0]
            places[worker] += len(whole) + bool(whole)
            for row in map(json.loads, whole.splitlines()):
                done[row["partition"]] = max(done[row["partition"]], row["sequence"])
        behind.update((p, s - done[p]) for p, s in last.items())
        return max(behind.values()) <= 0
    caught_up()
    print(f"# behind at the end, by partition: {behind}, read by {w.owners()}")
    wait_for(f"the end of the stream; behind: {behind}", caught_up, patience)
    seen = handled(w)
    there = {(p, n) for p, s in last.items() for n in range(s + 1)}
    repeated = sum(n - 1 for n in seen.values())
    print(f"# {len(there)} events, {len(there - set(seen))} lost, {repeated} repeated, {kills} kills")
    check(set(seen) == there, f"{len(there - set(seen))} events were lost")
    return repeated, len(there)


def tour():
    """Each of three joins and is killed while each set of the others lives: all edges of a cube, both ways."""
    edges = {(s, who) for s in range(8) for who in range(3)}
    at, path = 0, []
    stack = [(0, None)]
    while stack:
        at = stack[-1][0]
        out = [(s, who) for s, who in sorted(edges) if s == at]
        if out:
            edges.discard(out[0])
            stack.append((at ^ 1 << out[0][1], out[0][1]))
        else:
            path.append(stack.pop()[1])
    return [who for who in reversed(path) if who is not None]


def in_every_order(official, settings, patience):
    """official(w, name, strategy) and two of ours, by the tour; fair within one after each step."""
    with world(partitions=8, blobs=True) as w:
        lines = [f"k{n % 50}|{n}\n" for n in range(30 * patience * EVENTS_PER_S)]
        sender = w.sender(lines, "--key-separator", "|", "--rate", f"{EVENTS_PER_S}/s")
        alive, kills, slowest, theirs = {}, 0, 0.0, []
        for step, who in enumerate(tour()):
            name = "oab"[who]
            if who in alive:
                alive.pop(who).kill()
                kills += 1
            elif who == 0:
                alive[who] = official(w, f"o-{step}", ("greedy", "balanced")[len(theirs) % 2])
                theirs.append(alive[who])
            else:
                alive[who] = w.worker(f"{name}-{step}", *settings)
            if alive:
                took = await_fair(w, {x.name for x in alive.values()}, patience)
                print(f"# {step}: {'killed' if who not in alive else 'joined'} {name}, {len(alive)} alive, {took:.1f} s")
                slowest = max(slowest, took)
        print(f"# slowest: {slowest:.1f} s; the official ones handled {sum(len(rows(x.output)) for x in theirs)}")
        w.worker("end", *settings)
        repeated, total = judge(w, sender, kills)
        check(repeated < total / 4, f"{repeated} of {total} events were repeated: checkpoints were not taken over")


def joined_and_killed_in_every_order():
    in_every_order(js, SHARED, 40)


def an_owner_that_slept_is_refused_and_nothing_regresses():
    with world(partitions=2, blobs=True) as w:
        lines = [f"k{n % 20}|{n}\n" for n in range(4000)]
        a = w.worker("a", *SHARED, "--work", "1ms")
        await_fair(w, {"a"}, 30)
        sender = w.sender(lines, "--key-separator", "|", "--rate", "300/s")
        wait_for("work to begin", lambda: a.count() > 200)
        a.pause()
        b = w.worker("b", *SHARED)
        wait_for("b to take all over", lambda: len(b.owned()) == 2)
        check(sender.wait(60) == 0, "the sender failed")
        wait_for("the end of the stream", w.caught_up)
        wait_for("the last checkpoints", lambda: w.checkpoints("--claims", "shared") == w.last())
        before, closed = a.count(), len(a.of("close"))
        a.wake()
        wait_for("a to see that it lost both", lambda: len(a.of("close")) >= closed + 2)
        check(all(e["reason"] == "lost" for e in a.of("close")[closed:closed + 2]), a.of("close"))
        print(f"# handled after the sleep, before it knew: {a.count() - before}")
        check(w.checkpoints("--claims", "shared") == w.last(), "checkpoints went back")
        check(a.stop() == 0 and b.stop() == 0, "a stop in bad order")
        check(w.checkpoints("--claims", "shared") == w.last(), "checkpoints went back")


def a_group_that_is_run_in_the_other_way_is_refused():
    with world(partitions=2, blobs=True) as w:
        lease = w.worker("lease", "--create-container")
        await_fair(w, {"lease"}, 30)
        out = w.tidemark("consume", "--claims", "shared")
        check(out.returncode == 1 and "run in the way 'lease'" in out.stderr, out.stderr)
        check(lease.stop() == 0, "a stop in bad order")

        shared = w.worker("shared", *SHARED)  # what was released in good order is no obstacle
        await_fair(w, {"shared"}, 30)
        out = w.tidemark("consume")
        check(out.returncode == 1 and "--claims shared" in out.stderr, out.stderr)
        check(len(shared.owned()) == 2, "the group was disturbed")
        check(shared.stop() == 0, "a stop in bad order")
        official = js(w, "official", "greedy")
        await_fair(w, {"official"}, 30)
        out = w.tidemark("consume")
        check(out.returncode == 1 and "--claims shared" in out.stderr, out.stderr)
        check(len(official.owned()) == 2, "the group was disturbed")


def what_stands_still_stays_so():
    """The three together for a while, a count each second: nothing moves. TIDEMARK_REST: how many seconds. Their expiry is
    the default one: what moves because a machine stood still for seconds is not what is looked for here."""
    with world(partitions=8, blobs=True) as w:
        js(w, "j", "balanced", 60000)
        w.worker("a", *SHARED, "--expiry", "60s")
        w.worker("b", *SHARED, "--expiry", "60s")
        lines = [f"k{n % 50}|{n}\n" for n in range(800 * EVENTS_PER_S)]
        sender = w.sender(lines, "--key-separator", "|", "--rate", f"{EVENTS_PER_S}/s")
        await_fair(w, {"j", "a", "b"}, 60)
        settled = time.monotonic() + 5  # what follows from the last move
        wait_for("the last move to end", lambda: time.monotonic() > settled)
        seconds = float(os.environ.get("TIDEMARK_REST", "5"))
        await_fair(w, {"j", "a", "b"}, 60, still=seconds)
        print(f"# {seconds:.0f} s of rest, 0 moves")
        repeated, _ = judge(w, sender, 0, 30 + seconds)
        check(repeated < 1000, f"{repeated} events were repeated")


if __name__ == "__main__":
    run(joined_and_killed_in_every_order, an_owner_that_slept_is_refused_and_nothing_regresses,
        a_group_that_is_run_in_the_other_way_is_refused, what_stands_still_stays_so)
