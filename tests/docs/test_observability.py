#!/usr/bin/env python3
"""Documents and files about what can be seen agree with the source: log lines, alerts, dashboard."""
import json
import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
COMMON = {"hub", "group", "processor", "instance", "job", "le", "messaging_system", "messaging_destination_name",
          "messaging_consumer_group_name"}


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def log_lines():
    """event -> set of levels, of all calls in the source."""
    found = {}
    for folder in ("lib", "checkpoint", "processor", "tools"):
        for path in (ROOT / folder).rglob("*.c"):
            text = path.read_text()
            for call in re.finditer(r"\btmk_(log_error|warn|info|debug|trace)\(([^;]*);", text):
                level = call.group(1).replace("log_", "")
                # Literals before the format, which has blanks, signs of equality or conversions.
                for name in re.findall(r'"([a-z_]+(?:\.[a-z_]+)+)"', call.group(2)):
                    found.setdefault(name, set()).add(level)
    return found


def documented_lines():
    rows = re.findall(r"^\| `([a-z_.]+)` \| (\w+) \| (.*?) \|", (ROOT / "docs/LOGS.md").read_text(), re.M)
    return {name: {level} for name, level, _ in rows if "." in name}


def every_log_line_is_documented_and_every_documented_one_exists():
    source, document = log_lines(), documented_lines()
    check(len(source) > 20, source)
    check(set(source) == set(document), f"source and docs/LOGS.md differ: {sorted(set(source) ^ set(document))}")
    for name, levels in source.items():
        check(levels == document[name], f"{name}: {levels}, documented as {document[name]}")


def the_fields_of_log_lines_are_documented():
    text = (ROOT / "docs/LOGS.md").read_text()
    for path in [p for f in ("lib", "checkpoint", "processor", "tools") for p in (ROOT / f).rglob("*.c")]:
        for call in re.finditer(r"\btmk_(?:log_error|warn|info|debug|trace)\(([^;]*);", path.read_text()):
            names = re.findall(r'"([a-z_]+(?:\.[a-z_]+)+)"', call.group(1))
            literals = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', call.group(1).split(",", 2)[-1]))
            for name in names:
                row = re.search(rf"^\| `{re.escape(name)}` \|.*$", text, re.M).group(0)
                for field in re.findall(r"(?:^| )([a-z_]+)=", literals):
                    check(f"`{field}`" in row, f"{path.name}: {name}: the field {field} is not documented")


def metrics():
    """name -> (type, labels) as docs/STATISTICS.md has them; another test holds that against the programs."""
    rows = re.findall(r"^\| `([a-z_]+)` \| (\w+) \| [^|]*\| ([^|]*)\|", (ROOT / "docs/STATISTICS.md").read_text(), re.M)
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def expression_is_known(expression, where):
    known = metrics()
    used = re.findall(r"\b((?:tidemark|messaging)_[a-z_]+)\b(\{[^}]*\})?", re.sub(r'"[^"]*"', '""', expression))
    names = [(n, l) for n, l in used if not n.startswith("messaging_destination_") and n != "messaging_consumer_group_name"]
    check(names, f"{where}: no metric in {expression}")
    for name, labels in names:
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        base = base if base in known and known[base][0] == "histogram" else name
        check(base in known, f"{where}: there is no metric {name}")
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels):
            check(label in known[base][1] | COMMON, f"{where}: {name} has no label {label}")
        check(known[base][0] != "counter" or re.search(r"(rate|increase|irate)\(\s*" + name, expression),
              f"{where}: {name} is a counter: take its rate")
    for labels in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression):
        every = set().union(COMMON, *(known[re.sub(r"_(bucket|sum|count)$", "", n) if n not in known else n][1] for n, _ in names))
        for label in re.split(r"\s*,\s*", labels.strip()):
            check(label in every, f"{where}: nothing has the label {label}")
    check(expression.count("(") == expression.count(")"), f"{where}: brackets")


def the_alerts_use_metrics_and_labels_that_exist():
    document = yaml.safe_load((ROOT / "samples/aks/alerts.yaml").read_text())
    rules = [r for g in document["groups"] for r in g["rules"]]
    check(len(rules) > 10 and len({r["alert"] for r in rules}) == len(rules), "too few alerts, or one twice")
    for r in rules:
        check(set(r) <= {"alert", "expr", "for", "labels", "annotations"}, r)
        check(r["labels"]["severity"] in ("warning", "critical") and r["annotations"]["summary"], r)
        check(re.fullmatch(r"\d+[smh]", r.get("for", "1m")), r)
        expression_is_known(r["expr"], r["alert"])
        grouped = set(re.findall(r"\w+", " ".join(re.findall(r"\bby\s*\(([^)]*)\)", r["expr"]))))
        for label in re.findall(r"\$labels\.(\w+)", json.dumps(r["annotations"])):
            check(label in grouped, f"{r['alert']}: its series have no label {label}")


def the_dashboard_uses_metrics_and_labels_that_exist():
    document = json.loads((ROOT / "samples/aks/dashboard.json").read_text())
    panels = document["panels"]
    check(len(panels) > 10 and len({p["id"] for p in panels}) == len(panels), "too few panels, or one twice")
    for p in panels:
        g = p["gridPos"]
        check(g["x"] + g["w"] <= 24 and p["targets"], p["title"])
        for q in panels:
            o = q["gridPos"]
            check(p is q or g["x"] + g["w"] <= o["x"] or o["x"] + o["w"] <= g["x"] or g["y"] + g["h"] <= o["y"] or
                  o["y"] + o["h"] <= g["y"], f"'{p['title']}' lies over '{q['title']}'")
        for t in p["targets"]:
            expression_is_known(t["expr"], p["title"])
    for v in document["templating"]["list"]:
        if v["type"] == "query":
            expression_is_known(v["query"], v["name"])


def the_checks_themselves_can_fail():
    for wrong in ("tidemark_no_such_thing", 'tidemark_lag_events{nothing="1"}', "sum(tidemark_retries_total)",
                  "sum by (nothing) (tidemark_lag_events)", "1 + 1", "sum(tidemark_lag_events"):
        try:
            expression_is_known(wrong, "wrong")
        except AssertionError:
            continue
        raise AssertionError(f"not found wrong: {wrong}")


def main(*tests):
    print(f"1..{len(tests)}")
    failed = 0
    for number, test in enumerate(tests, 1):
        try:
            test()
            print(f"ok {number} - {test.__name__}")
        except Exception as e:  # noqa: BLE001: any failure is a test's
            failed += 1
            print(f"not ok {number} - {test.__name__}: {e}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(every_log_line_is_documented_and_every_documented_one_exists, the_fields_of_log_lines_are_documented,
         the_alerts_use_metrics_and_labels_that_exist, the_dashboard_uses_metrics_and_labels_that_exist,
         the_checks_themselves_can_fail)
