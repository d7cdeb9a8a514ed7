#!/usr/bin/env python3
"""Beside the official JavaScript SDK: the same events, the same checkpoints."""
import json
import signal
import subprocess

from harness import ROOT, check, keyed_lines, run, wait_for, world

INTEROP = ROOT / "tests/interop"
CLEAN = ("--create-container", "--until-end")


def js_worker(w, name):
    output = w.dir / f"{name}.out"
    output.touch()
    process = w.spawn(["node", INTEROP / "js_worker.mjs", "t", "checkpoints", output], stderr=open(w.dir / name, "wb"))
    return process, output


def rows(path):
    """The whole lines of a worker's output."""
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def places(events):
    return [(row["partition"], row["sequence"]) for row in events]


def js_until(w, name, count):
    """Lets the official processor work until it has written so many lines, and stops it in good order."""
    process, output = js_worker(w, name)
    wait_for(f"{count} events at {name}", lambda: len(rows(output)) >= count)
    process.send_signal(signal.SIGTERM)
    check(process.wait(30) == 0, (w.dir / name).read_text())
    return rows(output)


def checkpoints_are_taken_over_in_both_directions():
    with world(partitions=4, blobs=True) as w:
        lines, _ = keyed_lines(40, 10)
        seen = []
        for turn in range(2):
            w.send_lines(lines, "--key-separator", "|")
            seen += places(js_until(w, f"js-{turn}", 400))
            w.send_lines(lines, "--key-separator", "|")
            worker = w.worker(f"c-{turn}", *CLEAN)
            check(worker.process.wait(40) == 0, worker.log.read_text())
            seen += places(rows(worker.output))
            check(w.checkpoints() == w.last(), f"checkpoints {w.checkpoints()}, the hub {w.last()}")
        check(len(seen) == len(set(seen)), f"{len(seen) - len(set(seen))} events were repeated")
        there = {(p, n) for p, last in w.last().items() for n in range(last + 1)}
        check(set(seen) == there, f"{len(there - set(seen))} events were lost")


def the_official_sdk_reads_what_tidemark_sends():
    with world(partitions=2, blobs=True) as w:
        lines = [f"k{n % 7}|text {n} ü \U0001f680\n" for n in range(50)]
        w.send_lines(lines, "--key-separator", "|")
        output = js_until(w, "js", 50)  # it reads alone: with owner level 0
        theirs = {(r["partition"], r["sequence"]): (str(r["offset"]), r["key"], r["body"]) for r in output}
        ours = {}
        for partition in ("0", "1"):
            for r in peek(w, partition):
                ours[(r["partition"], r["sequence"])] = (r["offset"], r["key"], r["body"])
        check(ours == theirs, f"{set(ours.items()) ^ set(theirs.items())}")
        check(sorted(f"{key}|{body}\n" for _, key, body in theirs.values()) == sorted(lines), "other keys or bodies")


def peek(w, partition):
    out = w.tidemark("peek", "--partition", partition, "--count", "100", "--wait", "1s", "--start", "earliest",
                     "--format", "json")
    check(out.returncode == 0, out.stderr)
    return [json.loads(line) for line in out.stdout.splitlines()]


def tidemark_reads_what_the_official_sdk_sends():
    with world(partitions=1) as w:
        sent = json.loads(subprocess.run(["node", str(INTEROP / "js_send.mjs"), "t"], env=w.env, check=True,
                                         capture_output=True, text=True, timeout=60).stdout)
        got = peek(w, "0")
        check([r["sequence"] for r in got] == list(range(len(sent))), got)
        for event, row in zip(sent, got):
            # the SDK writes a body as JSON text
            check(json.loads(row["body"]) == event["body"], (event, row))
            check(row.get("properties", {}) == event.get("properties", {}), (event, row))


if __name__ == "__main__":
    run(the_official_sdk_reads_what_tidemark_sends, tidemark_reads_what_the_official_sdk_sends,
        checkpoints_are_taken_over_in_both_directions)
