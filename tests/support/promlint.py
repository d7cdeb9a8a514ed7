"""A lint for Prometheus text, after the rules of promtool and of the exposition format.

lint(text) returns a list of complaints; families(text) the metrics: name -> Family.
"""
import math
import re

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
SERIES = re.compile(r"([^\s{]+)(?:\{(.*)\})?\s+(\S+)(?:\s+(-?\d+))?\Z")
PAIR = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|\Z)')
TYPES = ("counter", "gauge", "histogram", "summary", "untyped")
# Base units are wanted; these are not.
BAD_UNITS = ("milliseconds", "microseconds", "nanoseconds", "ms", "us", "minutes", "hours", "days", "kilobytes", "kib",
             "mib", "megabytes", "bits", "percent")


class Family:
    def __init__(self, name):
        self.name, self.type, self.help, self.series, self.labels = name, None, None, {}, set()


def labels_of(text):
    """The label pairs, or None where they are malformed."""
    pairs, at = [], 0
    while text and at < len(text):
        m = PAIR.match(text, at)
        if not m or (m.group(3) == "," and m.end() == len(text)):
            return None
        pairs.append((m.group(1), m.group(2)))
        at = m.end()
    return pairs


def base_of(name, known):
    """The family that a series belongs to: a histogram's parts have suffixes."""
    for suffix in ("_bucket", "_sum", "_count"):
        base = name[:-len(suffix)]
        if name.endswith(suffix) and base in known and known[base].type in ("histogram", "summary"):
            return base
    return name


def parse(text):
    known, complaints, closed, last = {}, [], set(), None
    if text and not text.endswith("\n"):
        complaints.append("the last line has no end")
    for number, line in enumerate(text.splitlines(), 1):
        def bad(what):
            complaints.append(f"line {number}: {what}: {line[:120]}")
        if not line or (line.startswith("#") and not line.startswith(("# HELP ", "# TYPE "))):
            continue
        if line.startswith("# "):
            word, name, rest = (line[2:].split(" ", 2) + [""])[:3]
            family = known.setdefault(name, Family(name))
            if family.series:
                bad(f"{word} after series")
            if (family.help if word == "HELP" else family.type) is not None:
                bad(f"a second {word}")
            if word == "HELP":
                family.help = rest
            else:
                family.type = rest
        else:
            m = SERIES.match(line)
            if not m:
                bad("no series")
                continue
            name = base_of(m.group(1), known)
            family = known.setdefault(name, Family(name))
            pairs = labels_of(m.group(2) or "")
            if pairs is None or len({k for k, _ in pairs}) != len(pairs):
                bad("malformed or repeated labels")
                continue
            try:
                value = float(m.group(3))
            except ValueError:
                bad("no number")
                continue
            key = (m.group(1), tuple(sorted(pairs)))
            if key in family.series:
                bad("a duplicate series")
            family.series[key] = value
            family.labels |= {k for k, _ in pairs}
        if name != last:
            if name in closed:
                bad("series of a metric do not stand together")
            closed.add(last)
            last = name
    return known, complaints


def lint_histogram(f):
    rows = {}
    for (name, pairs), value in f.series.items():
        rest = tuple(p for p in pairs if p[0] != "le")
        row = rows.setdefault(rest, {"buckets": []})
        if name.endswith("_bucket"):
            row["buckets"].append((float(dict(pairs).get("le", "nan")), value))
        else:
            row[name[len(f.name):]] = value
    for labels, row in rows.items():
        buckets = sorted(row["buckets"])
        where = f"{f.name}{dict(labels)}"
        if not buckets or buckets[-1][0] != math.inf:
            yield f"{where}: no bucket +Inf"
        if any(a[1] > b[1] for a, b in zip(buckets, buckets[1:])):
            yield f"{where}: buckets do not grow"
        if "_sum" not in row or "_count" not in row:
            yield f"{where}: no _sum or no _count"
        elif buckets and row["_count"] != buckets[-1][1]:
            yield f"{where}: _count is not the bucket +Inf"


def lint_family(f):
    words = f.name.split("_")
    if not NAME.match(f.name) or ":" in f.name or f.name != f.name.lower():
        yield f"{f.name}: a bad name"
    if not f.help:
        yield f"{f.name}: no help"
    if f.type not in TYPES or f.type == "untyped":
        yield f"{f.name}: no type"
    if (f.type == "counter") != f.name.endswith("_total"):
        yield f"{f.name}: counters, and only they, end in _total"
    if f.type != "histogram" and f.name.endswith(("_bucket", "_sum", "_count")):
        yield f"{f.name}: a suffix of histograms"
    for unit in BAD_UNITS:
        if unit in words:
            yield f"{f.name}: not a base unit: {unit}"
    if f.type in words:
        yield f"{f.name}: its type is in its name"
    for word in ("seconds", "bytes", "ratio"):
        if word in words[:-1] and not f.name.endswith((f"_{word}_total", f"_{word}_info")):
            yield f"{f.name}: the unit comes last"
    for label in f.labels:
        if not LABEL.match(label) or label.startswith("__") or (label == "le" and f.type != "histogram"):
            yield f"{f.name}: a bad label {label}"
    for (name, pairs), value in f.series.items():
        if math.isnan(value) or (f.type in ("counter", "histogram") and value < 0):
            yield f"{name}{dict(pairs)}: a bad value {value}"
    if f.type == "histogram":
        yield from lint_histogram(f)


def families(text):
    return parse(text)[0]


def lint(text):
    known, complaints = parse(text)
    for f in known.values():
        complaints += lint_family(f)
    return complaints


if __name__ == "__main__":
    import sys
    found = lint(sys.stdin.read())
    print("\n".join(found) or "nothing to complain about")
    sys.exit(1 if found else 0)
