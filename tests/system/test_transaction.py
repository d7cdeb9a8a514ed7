#!/usr/bin/env python3
"""samples/transaction killed a hundred times: every event has its effect exactly once."""
import random
import sqlite3
import subprocess
import time

from harness import BUILD, check, keyed_lines, run, wait_for, world


def total(path):
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10) as db:
            return dict(db.execute("SELECT key, events FROM total"))
    except sqlite3.OperationalError:
        return {}


def a_hundred_kills_count_every_event_once(kills=100):
    with world(partitions=2) as w:
        lines, sent = keyed_lines(20, 300)
        w.send_lines(lines, "--key-separator", "|")
        database, rng = w.dir / "effects.db", random.Random(7)
        args = [BUILD / "samples/transaction", "t", w.dir / "store", database]
        log = open(w.dir / "transaction.log", "wb")
        done, killed = 0, 0
        while killed < kills and done < 6000:
            p = w.spawn(args, stderr=log)
            target = done + rng.randrange(1, 60)
            end = time.monotonic() + 60
            while done < target and time.monotonic() < end and p.poll() is None:
                done = sum(total(database).values())
                time.sleep(0.002)
            check(p.poll() is None, open(w.dir / "transaction.log").read()[-1000:])
            check(done >= target or done == 6000, f"stuck at {done}")
            p.kill()
            p.wait()
            killed += 1
        p = w.spawn(args, stderr=log)
        wait_for("all events", lambda: sum(total(database).values()) >= 6000, 90)
        p.terminate()
        check(p.wait(40) == 0, open(w.dir / "transaction.log").read()[-1000:])
        counts = total(database)
        print(f"# {killed} kills")
        check(counts == sent, {k: v for k, v in counts.items() if v != sent.get(k)})


if __name__ == "__main__":
    run(a_hundred_kills_count_every_event_once)
