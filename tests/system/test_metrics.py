#!/usr/bin/env python3
"""The metrics of the library and of the local hub: linted as promtool would, and as the document says."""
import os
import pathlib
import re
import subprocess
import sys
import urllib.request

from harness import BUILD, ROOT, check, run, world

sys.path.insert(0, str(ROOT / "tests/support"))
import promlint  # noqa: E402

COMMON = {"processor", "hub", "group", "messaging_system", "messaging_destination_name",
          "messaging_consumer_group_name", "le"}


def clean(text, what):
    complaints = promlint.lint(text)
    check(not complaints, f"{what}: " + "; ".join(complaints[:5]))
    return promlint.families(text)


def documented(heading):
    """name -> (type, labels) of the tables under a heading of docs/STATISTICS.md."""
    text = (ROOT / "docs/STATISTICS.md").read_text()
    part = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z_]+)` \| (\w+) \| [^|]*\| ([^|]*)\|", part, re.M)
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def agree(families, table, common):
    check(set(families) == set(table), f"document and program differ: {sorted(set(families) ^ set(table))}")
    for name, family in families.items():
        kind, labels = table[name]
        check(kind == family.type, f"{name}: {family.type}, documented as {kind}")
        if family.series:
            check(family.labels - common == labels, f"{name}: labels {family.labels - common}, documented {labels}")


def library_text(folder):
    path = pathlib.Path(folder) / "metrics"
    out = subprocess.run([str(BUILD / "tests/client/test_client_stats")], capture_output=True, text=True, timeout=100,
                         env={**os.environ, "TIDEMARK_TEXT": str(path)})
    check(out.returncode == 0, out.stdout + out.stderr)
    return path.read_text()


def the_librarys_metrics_are_clean_and_as_documented():
    with world(partitions=1) as w:
        families = clean(library_text(w.dir), "the library")
        agree(families, documented("Metrics of a processor"), COMMON)
        empty = [f.name for f in families.values() if not f.series]
        check(not empty, f"no series of {empty}: the comparison would see nothing")


def the_local_hubs_metrics_are_clean_and_as_documented():
    with world(partitions=3) as w:
        w.send_lines(["one\n", "two\n"])
        with urllib.request.urlopen(f"http://{w.ready['control']}/metrics", timeout=10) as answer:
            check(answer.headers["Content-Type"].startswith("text/plain; version=0.0.4"), answer.headers)
            families = clean(answer.read().decode(), "the hub")
        agree(families, documented("Metrics of the local hub"), {"hub"})
        check(sum(families["tidemark_hub_stored_events_total"].series.values()) == 2, "events are not counted")


def the_lint_finds_what_is_wrong():
    good = "# HELP a_total x\n# TYPE a_total counter\na_total{b=\"c\"} 1\n"
    check(promlint.lint(good) == [], promlint.lint(good))
    histogram = ("# HELP h_seconds x\n# TYPE h_seconds histogram\nh_seconds_bucket{le=\"1\"} 2\n"
                 "h_seconds_bucket{le=\"+Inf\"} 3\nh_seconds_sum 1.5\nh_seconds_count 3\n")
    check(promlint.lint(histogram) == [], promlint.lint(histogram))
    for text in (good + "a_total{b=\"c\"} 2\n",  # twice
                 good.replace("a_total", "a"), good.replace("counter", "gauge"), good.replace("# HELP a_total x\n", ""),
                 good.replace("# TYPE a_total counter\n", ""), good.replace("} 1", "} one"), good.replace("\"c\"", "c"),
                 good.replace("} 1", "} -1"), good[:-1], good.replace("{b=", "{__b="),
                 good.replace("a_total", "a_ms_total"), good.replace("a_total", "a_seconds_b_total"),
                 good + histogram + "a_total{b=\"d\"} 1\n",  # not together
                 histogram.replace("+Inf\"} 3", "+Inf\"} 1"), histogram.replace("h_seconds_sum 1.5\n", ""),
                 histogram.replace("h_seconds_bucket{le=\"+Inf\"} 3\n", "")):
        check(promlint.lint(text), f"nothing to complain about: {text}")


if __name__ == "__main__":
    run(the_lint_finds_what_is_wrong, the_librarys_metrics_are_clean_and_as_documented,
        the_local_hubs_metrics_are_clean_and_as_documented)
