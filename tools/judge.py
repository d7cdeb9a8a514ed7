#!/usr/bin/env python3
"""Counts from workers' logs what was lost, repeated and out of order. Assumes nothing.

A worker (`tidemark consume --format json --output FILE --journal FILE`) writes an event's line before
it gives its verdict. Bodies are "<key> <number>", numbered 0, 1, 2 ... for each key by the sender.

  lost          numbers of a key, below what was sent, that no worker wrote
  repeated      lines for an event that was written before
  out of order  an event of a key written for the first time before one with a smaller number
"""
import json
import sys


def lines_of(path):
    """JSON lines; a torn last line is what a killed worker leaves: its event has no verdict."""
    try:
        data = open(path, "rb").read()
    except FileNotFoundError:
        return
    for line in data.split(b"\n")[:-1]:
        try:
            yield json.loads(line)
        except ValueError:
            if line.strip():
                yield None


def handled(workers):
    """(time, worker, partition, sequence, key, number) of every handling, in order of time."""
    rows = []
    for name, output, journal in workers:
        times = {}
        for entry in lines_of(journal):
            if entry and entry.get("ev") == "event":
                times.setdefault((str(entry["partition"]), entry["sequence"]), []).append(entry["t"])
        seen = {}
        last = 0.0
        for event in lines_of(output):
            if not event:
                continue
            at = (event["partition"], event["sequence"])
            nth = seen.get(at, 0)
            seen[at] = nth + 1
            stamps = times.get(at, [])
            last = stamps[nth] if nth < len(stamps) else last
            key, _, number = event["body"].rpartition(" ")
            rows.append((last, name, event["partition"], event["sequence"], key, int(number)))
    rows.sort(key=lambda r: r[0])
    return rows


def judge(sent_per_key, workers):
    """sent_per_key: {key: how many were acknowledged}. Returns the verdict as a dict."""
    first, repeated, disorder = {}, 0, 0
    next_of = {}
    for at, worker, partition, sequence, key, number in handled(workers):
        if (key, number) in first:
            repeated += 1
            continue
        first[(key, number)] = (at, worker)
        if number != next_of.get(key, 0):
            disorder += 1
        next_of[key] = max(next_of.get(key, 0), number + 1)
    sent = sum(sent_per_key.values())
    lost = sum(1 for key, count in sent_per_key.items() for n in range(count) if (key, n) not in first)
    return {"sent": sent, "distinct": len(first), "lost": lost, "repeated": repeated, "out_of_order": disorder}


def sentence(v):
    return (f"sent {v['sent']}, processed {v['distinct']} distinct, lost {v['lost']}, "
            f"repeated {v['repeated']}, out of order {v['out_of_order']}")


def main():
    if len(sys.argv) < 3 or len(sys.argv[2:]) % 2:
        sys.exit("usage: judge.py SENT.json OUTPUT JOURNAL [OUTPUT JOURNAL ...]   (SENT.json: {key: count})")
    files = sys.argv[2:]
    workers = [(f"worker-{i // 2}", files[i], files[i + 1]) for i in range(0, len(files), 2)]
    verdict = judge(json.load(open(sys.argv[1])), workers)
    print(sentence(verdict))
    sys.exit(1 if verdict["lost"] or verdict["out_of_order"] else 0)


if __name__ == "__main__":
    main()
