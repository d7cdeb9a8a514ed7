#!/usr/bin/env python3
"""Hours of steady load: memory, descriptors and threads of a worker stay where they were.

    TIDEMARK_SOAK_SECONDS=14400 tests/chaos/test_soak.py

Links break and tokens end now and then meanwhile, so that what a recovery leaves behind adds up.
"""
import os
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "system")]
from harness import check, run, wait_for, world  # noqa: E402

SECONDS = int(os.environ.get("TIDEMARK_SOAK_SECONDS", "3600"))
RATE, SAMPLES = 500, 60


def measure(pid):
    """(KiB of memory that is its own, descriptors, threads)."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return int(fields["RssAnon"].split()[0]), len(os.listdir(f"/proc/{pid}/fd")), int(fields["Threads"])


def steady_load_leaves_nothing_behind():
    # A journal of hours would fill the disk; the figures come from the process and the summary.
    with world(partitions=8, hub_args=("--retention-bytes", "4MiB")) as w:
        worker = w.worker("a", "--order", "key", "--threads", "8", "--checkpoint-interval", "1s", "--format", "none",
                          "--journal", "/dev/null", "--output", "/dev/null")
        sender = w.spawn([w.tidemark_program(), "send", "--hub", "t", "--count", str(RATE * SECONDS), "--size", "200", "--rate",
                          f"{RATE}/s"], stdout=open(os.devnull, "wb"), stderr=open(w.dir / "send.log", "wb"))
        begun, struck, samples, faults = time.monotonic(), time.monotonic(), [], 0
        while time.monotonic() - begun < SECONDS:
            due = begun + (len(samples) + 1) * SECONDS / SAMPLES
            wait_for("the next sample", lambda: time.monotonic() >= due or not worker.alive(), SECONDS)
            check(worker.alive() and sender.poll() in (None, 0), f"ended early: {worker.log.read_text()[-500:]}")
            samples.append(measure(worker.process.pid))
            if time.monotonic() - struck > 20:
                w.fault(fault=("drop_connections", "expire_tokens", "detach")[faults % 3])
                struck, faults = time.monotonic(), faults + 1
        check(sender.wait(120) == 0, (w.dir / "send.log").read_text()[-500:])
        check(worker.stop() == 0, worker.log.read_text()[-500:])
        quarter = SAMPLES // 4
        first, last = samples[quarter:2 * quarter], samples[-quarter:]
        for name, i, slack in (("KiB", 0, 1024), ("descriptors", 1, 2), ("threads", 2, 0)):
            before, after = sorted(s[i] for s in first)[quarter // 2], sorted(s[i] for s in last)[quarter // 2]
            print(f"# {name}: {before} in the second quarter, {after} in the last, {faults} faults in {SECONDS} s")
            check(after <= before + slack + before // 50, f"{name} grew from {before} to {after}")


if __name__ == "__main__":
    run(steady_load_leaves_nothing_behind)
