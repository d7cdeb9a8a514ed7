#!/usr/bin/env python3
"""One consumer group with processors of the official Python, Go and Java SDKs, beside Tidemark's. What is missing on this
machine is skipped, and said. The SDKs are installed into the build folder."""
import os
import sys
import time

from harness import BUILD, Skipped, check, run, wait_for, world
from test_shared import INTEROP, Official, await_fair, handled, in_every_order, rows

sys.path.insert(0, str(INTEROP))
import sdks  # noqa: E402

HOME = BUILD / "sdks"
INTERVAL_MS, EXPIRY_MS = 2000, 15000
SHARED = ("--create-container", "--claims", "shared", "--heartbeat", f"{INTERVAL_MS}ms", "--expiry", f"{EXPIRY_MS}ms",
          "--checkpoint-interval", "500ms")


def made(sdk):
    try:
        return sdk(HOME, "worker")
    except sdks.Missing as e:
        raise Skipped(str(e)) from e


# Python and Go make any other one part of the blobs' names.
USUAL_PORT = ("--listen", "127.0.0.1:5672")


def forget_the_port(w):
    w.env["EVENTHUB_CONNECTION_STRING"] = w.env["EVENTHUB_CONNECTION_STRING"].replace(":5672", "")


def official(w, name, command, strategy):
    return Official(w, name, lambda o: [*command, "t", "checkpoints", o.output, strategy, str(INTERVAL_MS),
                                        str(EXPIRY_MS), o.journal])


def beside(command, strategy):
    """It joins, is stolen from, is killed, comes back, outlives us: nothing is lost, shares are fair, and checkpoints
    are taken over in both directions."""
    with world(partitions=4, blobs=True, hub_args=USUAL_PORT) as w:
        forget_the_port(w)
        lines = [f"k{n % 20}|{n}\n" for n in range(40000)]
        a = w.worker("a", *SHARED)
        await_fair(w, {"a"}, 60)
        sender = w.sender(lines, "--key-separator", "|", "--rate", "100/s")
        x = official(w, "x", command, strategy)
        await_fair(w, {"a", "x"}, 120)
        b = w.worker("b", *SHARED)
        await_fair(w, {"a", "b", "x"}, 120)
        settled = time.monotonic() + 4 * INTERVAL_MS / 1000  # what follows from the last move
        wait_for("the last move to end", lambda: time.monotonic() > settled)
        await_fair(w, {"a", "b", "x"}, 120, still=10)
        x.kill()
        await_fair(w, {"a", "b"}, 120)
        y = official(w, "y", command, strategy)
        await_fair(w, {"a", "b", "y"}, 120)
        check(a.stop() == 0, "a stop in bad order")
        b.kill()
        await_fair(w, {"y"}, 180)
        sender.terminate()
        sender.wait()
        there = {(p, n) for p, last in w.last().items() for n in range(last + 1)}
        wait_for("the end of the stream", lambda: there <= set(handled(w)), 60)
        repeated = sum(n - 1 for n in handled(w).values())
        print(f"# {len(there)} events, 0 lost, {repeated} repeated; the official ones handled "
              f"{len(rows(x.output)) + len(rows(y.output))}")
        check(repeated < len(there) / 2, f"{repeated} repeated: checkpoints were not taken over")


def beside_the_python_sdk():
    beside(made(sdks.python), "greedy")


def beside_the_go_sdk():
    beside(made(sdks.go), "balanced")


def beside_the_java_sdk():
    beside(made(sdks.java), "greedy")


def with_the_java_sdk_in_every_order():
    """Each of its two strategies in turn; the checkpoints of each are the start of the other."""
    command = made(sdks.java)
    in_every_order(lambda w, name, strategy: official(w, name, command, strategy), SHARED, 90)


if __name__ == "__main__":
    os.makedirs(HOME, exist_ok=True)
    run(beside_the_python_sdk, beside_the_go_sdk, beside_the_java_sdk, with_the_java_sdk_in_every_order)
