#!/usr/bin/env python3
"""The story of docs/SCALING.md: slow handlers on 4 partitions, 1 -> 2 -> 12 instances and back, with key lanes."""
import time

from harness import check, keyed_lines, run, wait_for, world

# 10 ms a handler: a reader per partition would handle 400 events a second, whatever one starts.
WORK = ("--order", "key", "--threads", "16", "--work", "10ms", "--checkpoint-interval", "2s")
RATE, KEYS, SECONDS = 1200, 400, 60


def tell(begin, text):
    print(f"# {time.time() - begin:6.1f} s  {text}")


def moves_of(w, begin):
    """(seconds, worker, what, partition) of every opening and closing since."""
    return sorted((line["t"] - begin, x.name, what, line["partition"]) for x in w.workers
                  for what in ("open", "close") for line in x.of(what) if line["t"] >= begin)


def four_partitions_keep_up_with_key_lanes_while_instances_come_and_go():
    with world(partitions=4) as w:
        lines, sent = keyed_lines(KEYS, RATE * SECONDS // KEYS)
        first = w.worker("pod-1", *WORK)
        w.all_owned(["pod-1"])
        sender = w.sender(lines, "--key-separator", "|", "--rate", f"{RATE}/s")
        wait_for("load", lambda: first.count() > 2000)
        begin = time.time()
        tell(begin, "one instance, all four partitions; start a second")
        w.worker("pod-2", *WORK)
        wait_for("two owners", lambda: sorted(w.owners().values()) == ["pod-1"] * 2 + ["pod-2"] * 2)
        tell(begin, "two each; start ten more")
        for n in range(3, 13):
            w.worker(f"pod-{n}", *WORK)
        wait_for("four owners", lambda: len(w.owners()) == 4 and len(set(w.owners().values())) == 4)
        tell(begin, f"one each at {sorted(set(w.owners().values()))}; eight wait in reserve; stop all but one")
        for x in w.workers[1:]:
            check(x.stop() == 0, f"{x.name} did not stop in good order: {x.log.read_text()[-500:]}")
        w.all_owned(["pod-1"])
        tell(begin, "one instance again")
        check(sender.wait(120) == 0, "the sender failed")
        wait_for("the end of the stream", w.caught_up, 60)
        tell(begin, "everything is final")
        check(first.stop() == 0, "pod-1 did not stop in good order")
        for at, name, what, partition in moves_of(w, begin):
            print(f"#   {at:6.2f} s  {name:7} {what:5} partition {partition}")
        verdict = w.judged(sent)
        print("#", verdict)
        check(verdict["lost"] == 0 and verdict["repeated"] == 0 and verdict["out_of_order"] == 0, verdict)


if __name__ == "__main__":
    run(four_partitions_keep_up_with_key_lanes_while_instances_come_and_go)
