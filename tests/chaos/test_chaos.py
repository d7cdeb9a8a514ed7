#!/usr/bin/env python3
"""Workers, hub and Azurite as real processes, and a schedule of faults from a seed; judged from the logs.

    TIDEMARK_CHAOS_SECONDS=600 TIDEMARK_CHAOS_SEED=7 tests/chaos/test_chaos.py

Whatever happens: every event that the hub has is handled; those of a key in order; checkpoints never go back; nobody
handles events of a partition that a later generation has opened, but for a moment; every send that was acknowledged is
there; every stop returns in time; and a while after the last fault everything is read and nobody is behind.
"""
import json
import os
import pathlib
import random
import resource
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "system")]
from harness import BUILD, World, azurite, check, run, wait_for  # noqa: E402
from proxy import Proxy  # noqa: E402

SECONDS = int(os.environ.get("TIDEMARK_CHAOS_SECONDS", "45"))
SEED = int(os.environ.get("TIDEMARK_CHAOS_SEED", "1"))
PARTITIONS, KEYS, RATE = 8, 120, 400
OPTIONS = ("--order", "key", "--threads", "8", "--work", "2ms", "--checkpoint-interval", "1s", "--expiry", "15s",
           "--heartbeat", "3s", "--lost-position", "fail", "--stop-deadline", "15s")
SHIFT_CLOCK = BUILD.resolve() / "tests/chaos/shift_clock.so"
IN_HAND = 2.5  # seconds: a handler that was running when its partition went may still begin what its turn held


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Chaos(World):
    """A world whose hub keeps its events and its port, and whose workers reach everything through proxies."""

    def __init__(self, seed, blobs):
        self.random, self.amqp, self.met = random.Random(seed), free_port(), {}
        super().__init__(partitions=PARTITIONS)
        self.hub.kill()
        self.hub.wait()
        self.start_hub()
        self.hub_proxy, self.proxies = Proxy(self.amqp, seed), {}
        self.proxies["hub"] = self.hub_proxy
        if blobs:
            self.blob_port = free_port()
            self.start_blobs()
            self.proxies["store"] = Proxy(self.blob_port, seed + 1)
            self.env["AZURE_STORAGE_CONNECTION_STRING"] = self.blob_text.replace(
                f":{self.blob_port}/", f":{self.proxies['store'].port}/")
            self.env["TIDEMARK_STORE"] = "blob:checkpoints"
        else:
            self.mount_small_disk()
        self.born, self.shift = 0, {}

    def start_hub(self):
        self.hub = self.spawn([BUILD / "tools/hub/tidemark-hub", "--listen", f"127.0.0.1:{self.amqp}", "--control",
                               "127.0.0.1:0", "--hub", f"t:{PARTITIONS}", "--data", self.dir / "hub", "--key", "chaos"],
                              stdout=subprocess.PIPE, stderr=open(self.dir / "hub.log", "ab"), text=True)
        line = self.hub.stdout.readline()
        check(line, f"the hub did not start: {(self.dir / 'hub.log').read_text()[-500:]}")
        self.ready = json.loads(line)
        self.env["EVENTHUB_CONNECTION_STRING"] = self.ready["connection_string"]

    def start_blobs(self):
        self.azurite, self.blob_text = azurite.start(port=self.blob_port, folder=self.dir / "blobs")
        check(self.azurite, "Azurite did not start")
        self.processes.append(self.azurite)

    def mount_small_disk(self):
        """The store's folder on a disk of its own that can be filled; where mounting is allowed."""
        (self.dir / "store").mkdir()
        self.disk = self.dir / "store"
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", self.disk], capture_output=True).returncode != 0:
            self.disk = None

    def join(self):
        """Every third worker's wall clock is minutes wrong."""
        self.born += 1
        name, env = f"w{self.born}", dict(self.env)
        if self.born % 3 == 0:
            self.shift[name] = self.random.choice([-150, 150])
            self.env.update(LD_PRELOAD=str(SHIFT_CLOCK), TIDEMARK_SHIFT_CLOCK=str(self.shift[name]))
        worker = self.worker(name, *OPTIONS, "--create-container", "--endpoint", f"127.0.0.1:{self.hub_proxy.port}")
        self.env = env
        return worker

    def living(self):
        return [w for w in self.workers if w.alive()]

    # ---- faults: each takes its seconds, and is over when it returns ----

    def pass_time(self, low, high):
        end = time.monotonic() + self.random.uniform(low, high)
        wait_for("a fault's time", lambda: time.monotonic() >= end)

    def kill(self):
        self.random.choice(self.living()).kill()
        self.pass_time(0, 3)
        self.join()

    def restart(self):
        victim = self.random.choice(self.living())
        check(victim.stop(25) in (0, 1), f"{victim.name} ended badly")
        self.join()

    def scale(self):
        if len(self.living()) < 4:
            self.join()
        else:
            self.restart()
        self.pass_time(1, 3)

    def pause(self):
        victim = self.random.choice(self.living())
        victim.pause()
        self.pass_time(*self.random.choice([(1, 4), (17, 20)]))
        victim.wake()

    def network(self):
        proxy = self.proxies[self.random.choice(sorted(self.proxies))]
        proxy.fault = self.random.choice(["delay", "drip", "deaf", "mute", "frozen", "refuse", "half_open"])
        if proxy.fault in ("refuse", "half_open"):
            proxy.reset()
        self.pass_time(2, 7)
        proxy.fault = None

    def reset(self):
        self.random.choice(list(self.proxies.values())).reset()

    def hub_killed(self):
        self.hub.kill()
        self.hub.wait()
        self.pass_time(0, 2)
        self.start_hub()

    def store_killed(self):
        if "store" not in self.proxies:
            return
        self.azurite.send_signal(signal.SIGTERM)  # it keeps its blobs in its own time
        self.azurite.wait()
        self.pass_time(0, 4)
        self.start_blobs()

    def service(self):
        """The service ends something: connections, sessions, links, tokens; or goes silent, or stumbles."""
        what, fields = self.random.choice([
            ("drop_connections", {}), ("close_connections", {}), ("end_sessions", {}), ("expire_tokens", {}),
            ("detach", {"count": 3}), ("detach", {"condition": "com.microsoft:server-busy"}),
            ("detach", {"condition": "amqp:connection:forced", "role": "any"})])
        self.fault(fault=what, **fields)

    def starve(self):
        """A worker gets no more memory, or no more descriptors, for a while."""
        victim = self.random.choice(self.living())
        pid, what = victim.process.pid, self.random.choice([resource.RLIMIT_AS, resource.RLIMIT_NOFILE])
        before = resource.prlimit(pid, what)
        pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[0])
        resource.prlimit(pid, what, (pages * os.sysconf("SC_PAGE_SIZE") if what == resource.RLIMIT_AS else 3, before[1]))
        self.pass_time(2, 5)
        if victim.alive():
            resource.prlimit(pid, what, before)

    def disk_full(self):
        if not getattr(self, "disk", None):
            return
        ballast = self.disk / "ballast"
        try:
            with open(ballast, "wb", buffering=0) as f:
                while f.write(b"x" * 4096):
                    pass
        except OSError:
            pass
        self.pass_time(2, 6)
        ballast.unlink()

    def play(self):
        """Faults one after the other until the time is up; counts them by kind."""
        kinds = [self.kill, self.restart, self.scale, self.pause, self.network, self.network, self.reset,
                 self.hub_killed, self.store_killed, self.service,
                 self.starve, self.disk_full]
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            kind = self.random.choice(kinds)
            self.met[kind.__name__] = self.met.get(kind.__name__, 0) + 1
            print(f"# {SECONDS - (end - time.monotonic()):6.1f} s  {kind.__name__}", flush=True)
            kind()
            self.pass_time(0.5, 2.5)

    def close(self):
        for proxy in getattr(self, "proxies", {}).values():
            proxy.close()
        for p in self.processes:
            if p.poll() is None:
                p.kill()
                p.wait()
        if getattr(self, "disk", None):
            subprocess.run(["umount", "--lazy", self.disk], check=False)
        super().close()


# ---- the judgement ----

def history(w):
    """{partition: [(t, worker, sequence)]} of handlings, openings and checkpoints, in order of time."""
    events, opens, checkpoints = {}, {}, {}
    for x in w.workers:
        x.read()
        for line in x.lines:
            p, t = str(line.get("partition", "")), line["t"] - w.shift.get(x.name, 0)
            if line["ev"] == "event":
                events.setdefault(p, []).append((t, x.name, line["sequence"]))
            elif line["ev"] == "open":
                opens.setdefault(p, []).append((t, x.name, line["generation"]))
            elif line["ev"] == "checkpoint" and line["result"] == "written":
                checkpoints.setdefault(p, []).append((t, x.name, line["sequence"]))
    for table in (events, opens, checkpoints):
        for rows in table.values():
            rows.sort()
    return events, opens, checkpoints


def check_checkpoints(checkpoints):
    for p, rows in checkpoints.items():
        for before, after in zip(rows, rows[1:]):
            check(after[2] >= before[2], f"a checkpoint of partition {p} went back: {before} {after}")


def check_owners(events, opens):
    for p, rows in events.items():
        began = opens.get(p, [])
        for (_, owner, generation), (since, successor, next_generation) in zip(began, began[1:]):
            check(next_generation >= generation, f"a generation of partition {p} went back at {since}")
            late = [r for r in rows if r[1] == owner and r[0] > since + IN_HAND and owner != successor]
            again = [o for o in began if o[1] == owner and o[0] > since]
            late = [r for r in late if not again or r[0] < again[0][0]]
            check(not late, f"{owner} handled {late[:2]} of partition {p} after {successor} had opened it at {since}")


def check_order(w):
    """First handlings of a key's events come in their order in the partition."""
    first, newest, repeated = {}, {}, 0
    rows = sorted((at - w.shift.get(name, 0), name, *rest) for at, name, *rest in w.handled())
    for at, name, partition, sequence, key, number in rows:
        if (partition, sequence) in first:
            repeated += 1
            continue
        first[partition, sequence] = (at, name, key, number)
        check(newest.get((partition, key), -1) < sequence,
              f"{name} handled {sequence} of key {key} in partition {partition} after {newest.get((partition, key))}")
        newest[partition, key] = sequence
    return first, repeated


def sent_lines(count):
    return [f"k{n % KEYS}|k{n % KEYS} {n // KEYS}\n" for n in range(count)]


def chaos(blobs):
    w = Chaos(SEED, blobs)
    try:
        count = RATE * SECONDS
        sender = w.sender(sent_lines(count), "--key-separator", "|", "--rate", f"{RATE}/s")
        for _ in range(3):
            w.join()
        wait_for("a beginning", lambda: len(w.owners()) == PARTITIONS, 60)
        w.play()
        if not w.living():
            w.join()
        report = json.loads(sender.communicate(timeout=180)[0] or "{}")
        wait_for("all partitions to be read after the last fault", lambda: len(w.owners()) == PARTITIONS, 60)
        wait_for("everything to be handled", w.caught_up, 60)
        for x in w.living():
            check(x.stop(25) == 0, f"{x.name} did not stop in good order: {x.log.read_text()[-800:]}")
        events, opens, checkpoints = history(w)
        first, repeated = check_order(w)
        last = w.last()
        lost = [(p, s) for p, n in last.items() for s in range(n + 1) if (p, s) not in first]
        there = {(key, number) for _, _, key, number in first.values()}
        print(f"# seed {SEED}, {sum(w.met.values())} faults {w.met}, sent {report}, in the hub "
              f"{sum(n + 1 for n in last.values())}, handled {len(first)} distinct, repeated {repeated}, lost {len(lost)}")
        check(not lost, f"lost {len(lost)}: {lost[:5]}")
        check(len(there) >= report.get("acknowledged", 0), f"{len(there)} of {report} are in the hub")
        check_checkpoints(checkpoints)
        check_owners(events, opens)
    except BaseException:
        for x in w.workers:
            print(f"# {x.name}: {x.log.read_text(errors='replace')[-600:]!r}")
        raise
    finally:
        w.close()


class Told:
    """Enough of a world for the judgement to judge."""

    def __init__(self, rows):
        self.rows, self.shift = rows, {}

    def handled(self):
        return self.rows


def refuses(judgement, *what):
    try:
        judgement(*what)
    except Exception:  # noqa: BLE001: any refusal
        return True
    return False


def the_judgement_can_fail():
    a, b = "a", "b"
    check(not refuses(check_checkpoints, {"0": [(1, a, 5), (2, b, 5), (3, b, 9)]}), "a good history was refused")
    check(refuses(check_checkpoints, {"0": [(1, a, 5), (2, b, 4)]}), "a checkpoint that went back was not seen")
    opens = {"0": [(0, a, 1), (10, b, 2)]}
    check(not refuses(check_owners, {"0": [(9.9, a, 7), (10.5, b, 8)]}, opens), "a good history was refused")
    check(refuses(check_owners, {"0": [(13, a, 7)]}, opens), "a former owner's handling was not seen")
    check(refuses(check_owners, {"0": []}, {"0": [(0, a, 2), (10, b, 1)]}), "a generation that went back was not seen")
    good = [(1, a, "0", 1, "k", 0), (2, b, "0", 1, "k", 0), (3, b, "0", 2, "k", 1)]
    check(check_order(Told(good))[1] == 1, "a repeat was not counted")
    check(refuses(check_order, Told([(1, b, "0", 2, "k", 1), (2, a, "0", 1, "k", 0)])), "a wrong order was not seen")


def on_files_nothing_is_lost_whatever_fails():
    chaos(blobs=False)


def on_blobs_nothing_is_lost_whatever_fails():
    chaos(blobs=azurite.installed())


if __name__ == "__main__":
    run(the_judgement_can_fail, on_blobs_nothing_is_lost_whatever_fails, on_files_nothing_is_lost_whatever_fails)
