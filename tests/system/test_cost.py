#!/usr/bin/env python3
"""What claims cost at rest, and how long a failover takes: by leases, shared, and the official JavaScript processor with
each of its strategies, side by side in one run. A figure that is not kept is a failure."""
import re
import socket
import threading
import time

from harness import check, run, wait_for, world
from test_shared import INTEROP, Official

PARTITIONS = 32
OFFICIAL = ("balanced", "greedy")
WINDOW_S = 120
REQUEST = re.compile(rb"(GET|HEAD|PUT|POST|DELETE) (/\S*) HTTP/1\.1$")


class Counter:
    """A way to the store on which the requests are counted."""

    def __init__(self, connection_string):
        place = re.search(r"http://127\.0\.0\.1:(\d+)", connection_string)
        self.target, self.count, self.kinds = int(place[1]), 0, {}
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        port = self.listener.getsockname()[1]
        self.connection_string = connection_string.replace(f":{self.target}/", f":{port}/")
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            server = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=self.pump, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self.pump, args=(server, client, False), daemon=True).start()

    def pump(self, source, sink, requests):
        rest = b""
        try:
            while data := source.recv(65536):
                if requests:
                    lines = (rest + data).split(b"\r\n")
                    rest = lines.pop()
                    for line in lines:
                        found = REQUEST.search(line)  # a body may stand before it
                        if found:
                            comp = re.search(r"comp=(\w+)", found[2].decode())
                            kind = f"{found[1].decode()} {comp[1] if comp else ''}".strip()
                            self.count += 1
                            self.kinds[kind] = self.kinds.get(kind, 0) + 1
                sink.sendall(data)
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def js(w, name, container, strategy):
    """With the SDK's own interval and expiry."""
    return Official(w, name, lambda o: ["node", INTEROP / "js_worker.mjs", "t", container, o.output, strategy,
                                        "10000", "60000", o.journal])


def ours(w, name, container, claims):
    return w.worker(name, "--create-container", "--store", f"blob:{container}", "--claims", claims)


def through(w, counter, start):
    """Starts a process whose requests are counted."""
    before = w.env["AZURE_STORAGE_CONNECTION_STRING"]
    w.env["AZURE_STORAGE_CONNECTION_STRING"] = counter.connection_string
    try:
        return start()
    finally:
        w.env["AZURE_STORAGE_CONNECTION_STRING"] = before


def a_lease_costs_at_most_a_quarter_of_the_official_processor():
    ways = {"lease": lambda w, group: ours(w, "lease", "lease", "lease"),
            "shared": lambda w, group: ours(w, "shared", "shared", "shared"),
            "balanced": lambda w, group: js(w, "balanced", "javascript", "balanced"),
            "greedy": lambda w, group: js(w, "greedy", "javascript", "greedy")}
    figures, worlds = {}, []
    try:
        # Each way has a hub of its own: they are groups of their own, which must not meet. The balanced strategy takes one
        # partition an interval.
        for name, start in ways.items():
            here = world(partitions=PARTITIONS, blobs=True)
            w = here.__enter__()
            worlds.append(here)
            counter = Counter(w.env["AZURE_STORAGE_CONNECTION_STRING"])
            worker = through(w, counter, lambda: start(w, name))
            figures[name] = {"counter": counter, "worker": worker}
        for name, f in figures.items():
            wait_for(f"all partitions with {name}", lambda: len(f["worker"].owned()) == PARTITIONS, 15 * PARTITIONS)
        quiet = time.monotonic() + 30  # what follows from the start is no rest
        wait_for("the time of rest", lambda: time.monotonic() >= quiet, 40)
        for f in figures.values():
            f["before"], f["kinds"], f["from"] = f["counter"].count, dict(f["counter"].kinds), time.monotonic()
        end = time.monotonic() + WINDOW_S
        wait_for("the window", lambda: time.monotonic() >= end, WINDOW_S + 10)
        for name, f in figures.items():
            took = time.monotonic() - f["from"]
            f["hour"] = (f["counter"].count - f["before"]) * 3600 / took
            kinds = {k: n - f["kinds"].get(k, 0) for k, n in f["counter"].kinds.items() if n > f["kinds"].get(k, 0)}
            print(f"# {name}: {f['hour']:.0f} requests an instance-hour, {f['hour'] / PARTITIONS:.0f} a partition-hour; "
                  f"in {took:.0f} s: {kinds}")
    finally:
        for here in worlds:
            here.__exit__(None, None, None)
    lease = figures["lease"]["hour"]
    for strategy in OFFICIAL:
        official = figures[strategy]["hour"]
        print(f"# lease / {strategy}: {lease / official:.3f}")
        check(lease <= official / 4, f"leases cost {lease:.0f} requests an hour, the official processor {official:.0f}")
        check(figures["shared"]["hour"] <= official * 1.25, "sharing costs more than the official processor")


def a_failover_by_leases_takes_at_most_a_third_of_the_official_processors():
    """One of two is killed; until the last of its partitions is read by the other. Defaults everywhere."""
    took = {}
    worlds = {name: world(partitions=8, blobs=True) for name in ("lease", "shared", *OFFICIAL)}
    pairs = {}
    try:
        for name, here in worlds.items():
            w = here.__enter__()
            if name in OFFICIAL:
                pairs[name] = (w, [js(w, f"{name}-{n}", "javascript", name) for n in range(2)])
            else:
                pairs[name] = (w, [ours(w, f"{name}-{n}", name, name) for n in range(2)])

        def settled(pair):
            return sorted(len(x.owned()) for x in pair[1]) == [4, 4]
        for name, pair in pairs.items():
            wait_for(f"a fair share in {name}", lambda: settled(pair), 150)
        for _, pair in pairs.values():
            pair[0].kill()
        began = time.monotonic()

        def over():
            for name, (_, pair) in pairs.items():
                if name not in took and len(pair[1].owned()) == 8:
                    took[name] = time.monotonic() - began
            return len(took) == len(pairs)
        wait_for("all to be read again", over, 240)
    finally:
        for here in worlds.values():
            here.__exit__(None, None, None)
    print("# failover: " + ", ".join(f"{name} {s:.1f} s" for name, s in sorted(took.items())))
    for name in OFFICIAL:
        check(took["lease"] <= took[name] / 3,
              f"by leases {took['lease']:.1f} s, the official processor {took[name]:.1f} s ({name})")


if __name__ == "__main__":
    run(a_lease_costs_at_most_a_quarter_of_the_official_processor,
        a_failover_by_leases_takes_at_most_a_third_of_the_official_processors)
