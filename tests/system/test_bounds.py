#!/usr/bin/env python3
"""Bounded memory, bounded stop, cheap idling: measured on real processes."""
import os
import time

from harness import Skipped, check, figure, run, sanitized, wait_for, world

MIB = 1 << 20


def rss(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_is_flat_at_the_budget_while_a_handler_stalls():
    if sanitized():
        raise Skipped("a sanitizer's own memory would be measured")
    with world(partitions=4, hub_args=("--group", "idle")) as w:
        w.tidemark("send", "--count", "400", "--size", "1000000", "--batch-size", "1")
        idle = w.worker("idle", "--group", "idle", "--format", "none", "--start", "latest")
        wait_for("ownership", lambda: len(idle.owned()) == 4)
        base = rss(idle.process.pid)
        check(idle.stop() == 0, "idle did not stop")
        budget = 32 * MIB
        worker = w.worker("a", "--format", "none", "--work", "1h", "--max-bytes", str(budget), "--stop-deadline", "1s",
                          "--threads", "4")
        wait_for("the handlers", lambda: worker.count() >= 4)
        highest, quiet, last = 0, time.monotonic(), 0
        while time.monotonic() - quiet < 2:  # until it has not grown for two seconds
            now = rss(worker.process.pid)
            highest = max(highest, now)
            if now > last + MIB // 4:
                last, quiet = now, time.monotonic()
            time.sleep(0.05)
        used = highest - base
        print(f"# idle {base / MIB:.1f} MiB, stalled {highest / MIB:.1f} MiB with a budget of 32 MiB")
        check(used > 8 * MIB, f"only {used} bytes more than idle: the budget was not used")
        check(highest <= 1.1 * budget + base + 8 * MIB, f"{highest / MIB:.1f} MiB")


def idling_is_cheap_with_a_thousand_partitions():
    with world(partitions=1000) as w:
        worker = w.worker("a", "--format", "none", "--start", "latest")
        wait_for("ownership", lambda: len(worker.owned()) == 1000, 60)
        wait_for("quiet", lambda: worker.of("open"), 10)
        before, began = cpu_seconds(worker.process.pid), time.monotonic()
        wait_for("ten seconds", lambda: time.monotonic() - began > 10, 20)
        used = (cpu_seconds(worker.process.pid) - before) / (time.monotonic() - began)
        memory = rss(worker.process.pid) / MIB
        print(f"# 1000 idle partitions: {100 * used:.1f} % of a core, {memory:.0f} MiB")
        figure(used < 0.25, f"{100 * used:.1f} % of a core")


if __name__ == "__main__":
    run(memory_is_flat_at_the_budget_while_a_handler_stalls, idling_is_cheap_with_a_thousand_partitions)
