#!/usr/bin/env python3
"""One consumer group with processors of the official Python and Go SDKs, beside Tidemark's. What is missing on this
machine is skipped, and said. The SDKs are installed into the build folder."""
import os
import shutil
import subprocess
import sys
import time

from harness import BUILD, ROOT, Skipped, check, run, wait_for, world
from test_shared import Official, await_fair, handled, rows

INTEROP = ROOT / "tests/interop"
HOME = BUILD / "sdks"
INTERVAL_MS, EXPIRY_MS = 2000, 15000
SHARED = ("--create-container", "--claims", "shared", "--heartbeat", f"{INTERVAL_MS}ms", "--expiry", f"{EXPIRY_MS}ms",
          "--checkpoint-interval", "500ms")
PYTHON = ("azure-eventhub==5.15.1", "azure-eventhub-checkpointstoreblob==1.2.0")


def call(*args, **kw):
    return subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=1200, **kw)


def python_worker():
    """The command; None, and why."""
    place = HOME / "python"
    if not (place / "ready").exists():
        shutil.rmtree(place, ignore_errors=True)
        made = call(sys.executable, "-m", "venv", place)
        if made.returncode != 0:
            return None, "there is no venv module: " + made.stderr.strip()[-200:]
        got = call(place / "bin/pip", "install", "-q", *PYTHON)
        if got.returncode != 0:
            return None, "pip could not install the SDK: " + got.stderr.strip()[-200:]
        (place / "ready").touch()
    return [place / "bin/python", INTEROP / "sdk_worker.py"], None


def go_worker():
    place = HOME / "go"
    if shutil.which("go") is None:
        return None, "there is no Go toolchain"
    if not (place / "worker").exists():
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(INTEROP / "sdk_go", place)
        made = call("go", "build", "-o", "worker", ".", cwd=place)
        if made.returncode != 0:
            return None, "go could not build the worker: " + made.stderr.strip()[-200:]
    return [place / "worker"], None


def official(w, name, command, strategy):
    return Official(w, name, lambda o: [*command, "t", "checkpoints", o.output, strategy, str(INTERVAL_MS),
                                        str(EXPIRY_MS), o.journal])


def beside(made, strategy):
    """It joins, is stolen from, is killed, comes back, outlives us: nothing is lost, shares are fair, and checkpoints
    are taken over in both directions."""
    command, why = made
    if command is None:
        raise Skipped(why)
    # On the port that goes without saying: these SDKs make another one part of the blobs' names.
    with world(partitions=4, blobs=True, hub_args=("--listen", "127.0.0.1:5672")) as w:
        w.env["EVENTHUB_CONNECTION_STRING"] = w.env["EVENTHUB_CONNECTION_STRING"].replace(":5672", "")
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
    beside(python_worker(), "greedy")


def beside_the_go_sdk():
    beside(go_worker(), "balanced")


if __name__ == "__main__":
    os.makedirs(HOME, exist_ok=True)
    run(beside_the_python_sdk, beside_the_go_sdk)
