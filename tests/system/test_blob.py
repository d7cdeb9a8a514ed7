#!/usr/bin/env python3
"""The processor with its checkpoints and leases in blobs, kept by Azurite."""
from harness import check, keyed_lines, run, wait_for, world

FAST = ("--create-container", "--checkpoint-interval", "500ms", "--order", "key", "--threads", "8")


def a_killed_worker_loses_nothing_and_a_clean_restart_repeats_nothing():
    with world(partitions=4, blobs=True) as w:
        lines, sent = keyed_lines(50, 400)
        a, b = w.worker("a", *FAST), w.worker("b", *FAST)
        w.all_owned(["a", "b"])
        sender = w.sender(lines, "--key-separator", "|", "--rate", "1000/s")
        wait_for("work to begin", lambda: a.count() > 500 and b.count() > 500)
        a.kill()
        w.all_owned(["b"])
        check(sender.wait(60) == 0, "the sender failed")
        wait_for("the end of the stream", w.caught_up)
        check(b.stop() == 0, "b did not stop in good order")
        verdict = w.judged(sent)
        print("#", verdict)
        check(verdict["lost"] == 0 and verdict["out_of_order"] == 0, verdict)
        check(w.checkpoints() == w.last(), f"checkpoints {w.checkpoints()}, the hub {w.last()}")
        again = w.worker("c", "--until-end", *FAST)
        check(again.process.wait(40) == 0, again.log.read_text())
        check(again.count() == 0, f"a restart repeated {again.count()} events")


def an_owner_that_slept_is_refused_and_nothing_regresses():
    with world(partitions=2, blobs=True) as w:
        lines, sent = keyed_lines(20, 600)
        slow = (*FAST, "--work", "2ms")
        a = w.worker("a", *slow)
        w.all_owned(["a"])
        sender = w.sender(lines, "--key-separator", "|", "--rate", "400/s")
        wait_for("work to begin", lambda: a.count() > 200)
        a.pause()
        b = w.worker("b", *slow)
        wait_for("b to take all over", lambda: len(b.owned()) == 2)
        check(sender.wait(60) == 0, "the sender failed")
        wait_for("the end of the stream", w.caught_up)
        wait_for("the last checkpoints", lambda: w.checkpoints() == w.last())
        began = len(a.of("close"))
        a.wake()
        wait_for("a to see that it lost both", lambda: len(a.of("close")) >= began + 2)
        check(w.checkpoints() == w.last(), f"checkpoints went back: {w.checkpoints()}, the hub {w.last()}")
        check(a.stop() == 0 and b.stop() == 0, "a stop in bad order")
        check(w.checkpoints() == w.last(), f"checkpoints went back: {w.checkpoints()}, the hub {w.last()}")
        verdict = w.judged(sent)
        print("#", verdict)
        check(verdict["lost"] == 0, verdict)


if __name__ == "__main__":
    run(a_killed_worker_loses_nothing_and_a_clean_restart_repeats_nothing,
        an_owner_that_slept_is_refused_and_nothing_regresses)
