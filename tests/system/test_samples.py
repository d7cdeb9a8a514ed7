#!/usr/bin/env python3
"""Each sample does what its first lines say."""
import json
import os
import subprocess
import urllib.request

from harness import BUILD, check, keyed_lines, run, sanitized, wait_for, world


class Sample:
    """One that runs until it is told to stop."""

    def __init__(self, w, name, *args):
        self.path = w.dir / f"{name}.out"
        self.errors = w.dir / f"{name}.err"
        self.process = w.spawn([BUILD / "samples" / name, "t", *args], stdout=open(self.path, "wb"),
                               stderr=open(self.errors, "wb"))

    def lines(self):
        return self.path.read_text().splitlines()

    def stop(self):
        self.process.terminate()
        code = self.process.wait(40)
        check(code == 0, f"exit code {code}: {self.errors.read_text()}")


def checkpoints(w):
    table = json.loads(w.tidemark("status", "--json").stdout)["partitions"]
    return sum(p["checkpoint"] + 1 for p in table if p["checkpoint"] is not None)


def receive_prints_each_event_and_goes_on_where_it_was():
    with world(partitions=2) as w:
        w.send_lines([f"line {n}\n" for n in range(100)])
        s = Sample(w, "receive", w.dir / "store")
        wait_for("the events", lambda: len(s.lines()) >= 100)
        s.stop()
        check(checkpoints(w) == 100, checkpoints(w))
        w.send_lines(["one more\n"])
        s = Sample(w, "receive", w.dir / "store")
        wait_for("the last event", lambda: s.lines())
        s.stop()
        check([line.split(": ")[1] for line in s.lines()] == ["one more"], s.lines())


def batch_writes_many_events_with_one_sync():
    with world(partitions=2) as w:
        w.send_lines([f"line {n}\n" for n in range(2000)])
        s = Sample(w, "batch", w.dir / "store", w.dir / "output")
        output = w.dir / "output"
        wait_for("the events", lambda: output.exists() and len(output.read_text().splitlines()) >= 2000)
        s.stop()
        check(len(set(output.read_text().splitlines())) == 2000, "some are missing")
        sizes = [int(line.split()[0]) for line in s.lines()]
        check(sum(sizes) == 2000 and len(sizes) <= 40 and max(sizes) <= 500, sizes)


def keyed_handles_keys_side_by_side_and_each_in_order():
    with world(partitions=1) as w:
        lines, _ = keyed_lines(20, 20)
        w.send_lines(lines, "--key-separator", "|")
        s = Sample(w, "keyed", w.dir / "store")
        wait_for("the events", lambda: len(s.lines()) >= 400, 30)
        s.stop()
        for k in range(20):
            mine = [int(line.split()[-1]) for line in s.lines() if line.startswith(f"k{k}:")]
            check(mine == list(range(20)), f"k{k}: {mine}")


def retry_tries_again_and_puts_aside():
    with world(partitions=1, hub_args=("--hub", "aside:1")) as w:
        w.send_lines(["good\n", "busy\n", "nonsense\n", "down\n", "good too\n"])
        s = Sample(w, "retry", w.dir / "store", "aside")
        wait_for("what can be handled", lambda: len(s.lines()) == 3)
        check(sorted(s.lines()) == ["busy (try 3)", "good (try 1)", "good too (try 1)"], s.lines())

        def aside():
            out = subprocess.run([BUILD / "tools/tidemark/tidemark", "peek", "--hub", "aside", "--partition", "0",
                                  "--start", "earliest"], env=w.env, capture_output=True, text=True, timeout=60)
            return {e["body"]: e["properties"]["reason"] for e in map(json.loads, out.stdout.splitlines())}

        wait_for("the dead letters", lambda: len(aside()) == 2)
        check(aside() == {"nonsense": "handler", "down": "attempts"}, aside())
        s.stop()
        check(checkpoints(w) == 5, checkpoints(w))


def threads_of(sample):
    names = []
    for task in os.listdir(f"/proc/{sample.process.pid}/task"):
        try:
            names.append(open(f"/proc/{sample.process.pid}/task/{task}/comm").read().strip())
        except FileNotFoundError:
            pass  # it has just ended
    return sorted(names)


def epoll_has_no_thread_of_the_library_but_the_stores():
    with world(partitions=2) as w:
        w.send_lines([f"line {n}\n" for n in range(500)])
        s = Sample(w, "epoll")
        wait_for("the events", lambda: len(s.lines()) >= 500)
        # libcurl looks a host's name up in a thread of its own, which ends with the answer; a sanitizer's stays.
        allowed = ["epoll"] * (2 if sanitized() == "thread" else 1) + ["tmk-memory"]
        wait_for(f"no threads but {allowed}", lambda: threads_of(s) == allowed, 10)
        wait_for("the timer", lambda: "500 events, 2 partitions" in s.errors.read_text())
        s.stop()


def later_completes_in_groups():
    with world(partitions=2) as w:
        w.send_lines([f"line {n}\n" for n in range(3000)])
        output = w.dir / "output"
        s = Sample(w, "later", output)
        wait_for("the events", lambda: output.exists() and len(output.read_text().splitlines()) >= 3000)
        s.stop()
        check(len(set(output.read_text().splitlines())) == 3000, "some are missing")


def produce_tells_every_fate():
    with world(partitions=4) as w:
        text = "".join(f"key-{n % 7}:body {n}\n" for n in range(1000)) + "no key\n"
        out = subprocess.run([BUILD / "samples/produce", "t"], input=text, env=w.env, capture_output=True, text=True,
                             timeout=60)
        check(out.returncode == 0 and out.stdout == "stored 1001, failed 0\n", out.stdout + out.stderr)
        s = Sample(w, "receive", w.dir / "store")
        wait_for("the events", lambda: len(s.lines()) >= 1001)
        s.stop()
        bodies = {line.split(": ", 1)[1] for line in s.lines()}
        check(bodies == {f"body {n}" for n in range(1000)} | {"no key"}, "not what was sent")


def exporter_answers_with_prometheus_text():
    if not (BUILD / "samples/exporter").exists():
        print("# without libmicrohttpd there is no exporter")
        return
    with world(partitions=2) as w:
        w.send_lines([f"line {n}\n" for n in range(50)])
        s = Sample(w, "exporter", "0")
        url = wait_for("its address", s.lines)[0]

        def metrics():
            return urllib.request.urlopen(url, timeout=10).read().decode()

        wait_for("the count", lambda: any(line.startswith("tidemark_") and line.endswith(" 50")
                                          for line in metrics().splitlines()))
        check("# TYPE tidemark_" in metrics(), metrics()[:500])
        s.stop()


def store_notes_claims_and_checkpoints():
    with world(partitions=2) as w:
        w.send_lines([f"line {n}\n" for n in range(20)], "--partition", "1")
        audit = w.dir / "audit"
        s = Sample(w, "store", audit)
        wait_for("the checkpoint", lambda: audit.exists() and " checkpoint 1 19\n" in audit.read_text())
        s.stop()
        notes = [line.split()[1:] for line in audit.read_text().splitlines()]
        check(notes[0][0] == "join" and notes[-1][0] == "leave", notes)
        check(sorted(n[1] for n in notes if n[0] == "release") == ["0", "1"], notes)


def modern_counts_by_key():
    if not (BUILD / "samples/modern").exists():
        print("# without a C++ compiler there is no modern")
        return
    with world(partitions=2) as w:
        lines, sent = keyed_lines(5, 30)
        w.send_lines(lines, "--key-separator", "|")
        s = Sample(w, "modern", w.dir / "store")
        table = BUILD / "tools/tidemark/tidemark"
        check(table.exists(), "the command line is needed")
        wait_for("the checkpoint", lambda: w.tidemark("status", "--json").returncode == 0 and checkpoints(w) >= 150, 40)
        s.stop()
        counts = dict(line.split() for line in s.lines())
        check({k: int(v) for k, v in counts.items()} == sent, counts)


def testkit_loses_and_repeats_nothing_and_does_so_again():
    def lines(seed):
        out = subprocess.run([BUILD / "samples/testkit"], env={**os.environ, "TIDEMARK_KIT_SEED": str(seed)}, capture_output=True,
                             text=True, timeout=60)
        check(out.returncode == 0, out.stdout + out.stderr)
        return out.stdout

    texts = {seed: lines(seed) for seed in range(1, 11)}
    check(all("lost 0, repeated 0" in t for t in texts.values()) and len(set(texts.values())) > 5, texts)
    check(lines(1) == texts[1], "the same seed gave something else")


def each_sample_has_less_than_120_lines():
    """Of code: neither blank nor a comment of its own."""
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../samples")
    for name in sorted(os.listdir(folder)):
        if name.endswith((".c", ".cpp")):
            lines = [line.strip() for line in open(os.path.join(folder, name))]
            count = sum(not line.startswith(("/*", "*", "//")) and line != "" for line in lines)
            check(count < 120, f"{name} has {count} lines")


if __name__ == "__main__":
    run(receive_prints_each_event_and_goes_on_where_it_was,
        batch_writes_many_events_with_one_sync,
        keyed_handles_keys_side_by_side_and_each_in_order,
        retry_tries_again_and_puts_aside,
        epoll_has_no_thread_of_the_library_but_the_stores,
        later_completes_in_groups,
        produce_tells_every_fate,
        exporter_answers_with_prometheus_text,
        store_notes_claims_and_checkpoints,
        modern_counts_by_key,
        testkit_loses_and_repeats_nothing_and_does_so_again,
        each_sample_has_less_than_120_lines)
