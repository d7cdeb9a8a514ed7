#!/usr/bin/env python3
"""A worker that is stopped for longer than its lease, and goes on."""
from harness import check, keyed_lines, run, wait_for, world

THREADS = 4
SLOW = ("--checkpoint-interval", "500ms", "--order", "key", "--threads", str(THREADS), "--work", "5ms",
        "--heartbeat", "4s", "--expiry", "15s")


def lines_of(worker):
    """What its handler has written, whatever became of the verdict."""
    return worker.output.read_bytes().count(b"\n")


def a_worker_that_slept_too_long_handles_nothing_of_what_it_lost():
    with world(partitions=2) as w:
        lines, sent = keyed_lines(40, 100)
        a = w.worker("a", *SLOW)
        w.all_owned(["a"])
        check(w.sender(lines, "--key-separator", "|").wait(60) == 0, "the sender failed")
        wait_for("work to begin", lambda: a.count() > 100)
        a.pause()  # with some thousand events in hand
        b = w.worker("b", *SLOW)
        wait_for("b to take all over", lambda: len(b.owned()) == 2)
        wait_for("the end of the stream", w.caught_up)
        before = lines_of(a)
        a.wake()
        wait_for("a to see that it lost both", lambda: len(a.of("close")) >= 2)
        wait_for("a to be a member again", lambda: len([e for e in a.of("state") if e["what"] == "joined"]) >= 2)
        late = lines_of(a) - before
        print(f"# {before} events before the sleep, {late} that were in a handler then")
        check(late <= THREADS, f"{late} events were handled after the sleep, {THREADS} threads had one")
        check(a.stop() == 0 and b.stop() == 0, "a stop in bad order")
        verdict = w.judged(sent)
        print("#", verdict)
        check(verdict["lost"] == 0, verdict)
        check(w.checkpoints() == w.last(), f"checkpoints went back: {w.checkpoints()}, the hub {w.last()}")


if __name__ == "__main__":
    run(a_worker_that_slept_too_long_handles_nothing_of_what_it_lost)
