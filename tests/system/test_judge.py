#!/usr/bin/env python3
"""The judge finds what it is to find: losses, repeats and disorder, in logs made for it."""
import json
import pathlib
import tempfile

from harness import judge
from harness import check, run


def logs(*workers):
    """Each worker: a list of (time, sequence, key, number), as it wrote them."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tidemark-judge-"))
    made = []
    for name, rows in enumerate(workers):
        output, journal = folder / f"{name}.out", folder / f"{name}.journal"
        output.write_text("".join(json.dumps({"partition": "0", "sequence": s, "body": f"{k} {n}"}) + "\n"
                                  for _, s, k, n in rows))
        journal.write_text("".join(json.dumps({"t": t, "ev": "event", "partition": "0", "sequence": s}) + "\n"
                                   for t, s, _, _ in rows))
        made.append((str(name), output, journal))
    return made


def verdict(sent, *workers):
    v = judge.judge(sent, logs(*workers))
    return v["lost"], v["repeated"], v["out_of_order"]


def a_good_run_is_good():
    check(verdict({"a": 2, "b": 1}, [(1, 0, "a", 0), (2, 1, "b", 0)], [(3, 2, "a", 1)]) == (0, 0, 0), "")


def a_loss_is_found():
    check(verdict({"a": 3}, [(1, 0, "a", 0), (2, 1, "a", 1)])[0] == 1, "")


def a_repeat_is_counted_once_each():
    check(verdict({"a": 2}, [(1, 0, "a", 0), (2, 1, "a", 1)], [(3, 0, "a", 0), (4, 1, "a", 1)]) == (0, 2, 0), "")


def disorder_within_a_key_is_found_across_workers():
    check(verdict({"a": 2}, [(2, 0, "a", 0)], [(1, 1, "a", 1)])[2] > 0, "")


def disorder_between_keys_is_none():
    check(verdict({"a": 1, "b": 1}, [(2, 0, "a", 0)], [(1, 1, "b", 0)]) == (0, 0, 0), "")


def a_torn_last_line_is_no_handling():
    made = logs([(1, 0, "a", 0), (2, 1, "a", 1)])
    data = made[0][1].read_bytes()
    made[0][1].write_bytes(data[:-5])
    check(judge.judge({"a": 2}, made)["lost"] == 1, "the torn line was counted")


if __name__ == "__main__":
    run(a_good_run_is_good, a_loss_is_found, a_repeat_is_counted_once_each,
        disorder_within_a_key_is_found_across_workers, disorder_between_keys_is_none, a_torn_last_line_is_no_handling)
