#!/usr/bin/env python3
"""Handlers and sinks that misbehave: what the documentation says happens, happens."""
import json
import os
import stat
import time

from harness import check, keyed_lines, run, wait_for, world

QUICK = ("--order", "key", "--threads", "4", "--checkpoint-interval", "500ms")


def script(w, name, text):
    path = w.dir / name
    path.write_text("#!/bin/sh\n" + text)
    os.chmod(path, path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def a_poison_event_goes_to_the_dead_letters_and_holds_back_its_key_alone():
    with world(partitions=2) as w:
        lines, _ = keyed_lines(10, 20)
        w.send_lines(lines, "--key-separator", "|")
        handler = script(w, "handler", 'while read -r line; do case "$line" in *"k3 7\\""*) echo retry 50;; '
                                       '*) echo "$line" >> "$0.log"; echo done;; esac; done\n')
        letters = w.dir / "letters"
        worker = w.worker("a", "--exec", handler, "--retry", "3", "--dead-letter", f"file:{letters}", "--until-end", *QUICK)
        check(worker.process.wait(60) == 0, worker.log.read_text())
        handled = [json.loads(line)["body"] for line in open(handler + ".log")]
        kept = [json.loads(line) for line in open(letters)]
        check(len(kept) == 1 and kept[0]["event"]["body"] == "k3 7", kept)
        check(kept[0]["attempts"] == 3 and kept[0]["reason"] == "attempts", kept)
        check(len(handled) == 199 and "k3 7" not in handled, f"{len(handled)} handled")
        for k in range(10):
            mine = [int(b.split()[1]) for b in handled if b.startswith(f"k{k} ")]
            check(mine == sorted(mine), f"k{k} is out of order: {mine}")


def without_a_dead_letter_sink_the_partition_stops_at_the_poison_and_others_go_on():
    with world(partitions=2) as w:
        w.send_lines([f"good {n}\n" for n in range(20)], "--partition", "0")
        w.send_lines([f"{'bad' if n == 5 else 'good'} {n}\n" for n in range(20)], "--partition", "1")
        handler = script(w, "handler", 'while read -r line; do case "$line" in *bad*) echo retry 10;; *) echo done;; esac; done\n')
        worker = w.worker("a", "--exec", handler, "--retry", "2", "--order", "partition", "--checkpoint-interval", "200ms")
        wait_for("the good partition", lambda: worker.count() and worker.done.get("0") == 19)
        wait_for("the report", lambda: any(e.get("partition") == "1" for e in worker.of("fault")))
        check(worker.stop() == 0, worker.log.read_text())
        check(worker.done["1"] == 5, f"partition 1 went on to {worker.done['1']}")
        table = json.loads(w.tidemark("status", "--json").stdout)["partitions"]
        by_id = {p["partition"]: p["checkpoint"] for p in table}
        check(by_id == {"0": 19, "1": 4}, by_id)


def count_lines(path):
    return len(open(path).readlines()) if os.path.exists(path) else 0


def a_sink_that_is_down_pauses_intake_and_loses_nothing():
    with world(partitions=2) as w:
        lines, sent = keyed_lines(20, 50)
        w.send_lines(lines, "--key-separator", "|")
        handler = script(w, "handler", 'while read -r line; do if [ -e "$0.down" ]; then echo stop; echo x >> "$0.stops"; '
                                       'else echo "$line" >> "$0.log"; echo done; fi; done\n')
        down = open(handler + ".down", "w")
        worker = w.worker("a", "--exec", handler, *QUICK)
        wait_for("the breaker", lambda: any("broken" in e["text"] for e in worker.of("fault")))
        begin = time.monotonic()
        wait_for("a second probe", lambda: count_lines(handler + ".stops") >= 6, 60)
        stops = count_lines(handler + ".stops")
        check(stops < 40, f"{stops} tries against a sink that is down")
        down.close()
        os.unlink(handler + ".down")
        wait_for("everything", lambda: count_lines(handler + ".log") >= 1000, 60)
        check(worker.stop() == 0, worker.log.read_text())
        bodies = [json.loads(line)["body"] for line in open(handler + ".log")]
        check(len(set(bodies)) == 1000, f"{len(set(bodies))} of 1000 handled")
        print(f"# {stops} tries in {time.monotonic() - begin:.1f} s")


def a_handler_that_hangs_holds_back_its_lane_alone_and_a_stop_keeps_its_deadline():
    with world(partitions=2) as w:
        w.send_lines([f"good {n}\n" for n in range(50)], "--partition", "0")
        w.send_lines(["hang 0\n"] + [f"good {n}\n" for n in range(50)], "--partition", "1")
        handler = script(w, "handler", 'while read -r line; do case "$line" in *hang*) exec sleep 600;; *) echo done;; esac; done\n')
        worker = w.worker("a", "--exec", handler, "--order", "partition", "--threads", "4", "--stop-deadline", "3s")
        wait_for("the good partition", lambda: worker.count() and worker.done.get("0") == 49)
        check(worker.done.get("1", 0) == 0, "partition 1 went past the hanging event")
        begin = time.monotonic()
        worker.process.terminate()
        code = worker.process.wait(10)
        took = time.monotonic() - begin
        check(took < 4.5, f"the stop took {took:.1f} s with a deadline of 3 s")
        check(code == 1, f"exit code {code}: a stop at the deadline must not say that all is well")


def a_handler_that_kills_its_process_loses_nothing_and_others_take_over():
    with world(partitions=4) as w:
        lines, _ = keyed_lines(40, 10)
        w.send_lines(lines, "--key-separator", "|")
        crash = script(w, "crash", f'while read -r line; do case "$line" in *"k5 5\\""*) kill -9 $PPID; exit;; '
                                   f'*) echo "$line" >> {w.dir}/log; echo done;; esac; done\n')
        for turn in range(3):
            worker = w.worker("a", "--exec", f"exec {crash}", *QUICK)
            if worker.process.wait(90) != -9:
                check(False, worker.log.read_text())
        good = script(w, "good", f'while read -r line; do echo "$line" >> {w.dir}/log; echo done; done\n')
        other = w.worker("b", "--exec", good, "--until-end", *QUICK)
        check(other.process.wait(120) == 0, other.log.read_text())
        bodies = [json.loads(line)["body"] for line in open(w.dir / "log")]
        check(len(set(bodies)) == 400, f"{len(set(bodies))} of 400 handled")


if __name__ == "__main__":
    run(a_poison_event_goes_to_the_dead_letters_and_holds_back_its_key_alone,
        without_a_dead_letter_sink_the_partition_stops_at_the_poison_and_others_go_on,
        a_sink_that_is_down_pauses_intake_and_loses_nothing,
        a_handler_that_hangs_holds_back_its_lane_alone_and_a_stop_keeps_its_deadline,
        a_handler_that_kills_its_process_loses_nothing_and_others_take_over)
