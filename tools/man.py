#!/usr/bin/env python3
"""Writes the manual pages of a program from its own --help, so that page and program agree.

usage: man.py PROGRAM VERSION FOLDER
"""
import pathlib
import re
import subprocess
import sys

EXAMPLES = {
    "tidemark-send": [
        ("Send a file, each line an event, ordered by what stands before the comma:",
         "tidemark send --hub telemetry --key-separator , < readings.csv"),
        ("Make up load, 1000 events a second for a minute:",
         "tidemark send --hub telemetry --count 60000 --size 200 --rate 1000/s")],
    "tidemark-consume": [
        ("Handle events by a program of yours, in order per key, 16 at once, and keep the bad ones:",
         "tidemark consume --hub telemetry --store blob:checkpoints --order key --threads 16 "
         "--exec ./handler --dead-letter file:dead.jsonl"),
        ("Everything that is there now as JSON lines, and no more:",
         "tidemark consume --hub telemetry --store memory --until-end")],
    "tidemark-peek": [
        ("The newest ten events of partition 3:", "tidemark peek --hub telemetry --partition 3 --count 10")],
    "tidemark-status": [
        ("An alarm for a script: exit code 1 when a partition is 50000 events behind, or an hour from losing some:",
         "tidemark status --hub telemetry --store blob:checkpoints --max-lag 50000 "
         "--retention 24h --min-time-to-loss 1h")],
    "tidemark-checkpoint": [
        ("What setting all partitions back to noon would change; then do it:",
         "tidemark checkpoint set --to time:2026-11-21T12:00:00Z --partition all --store blob:checkpoints "
         "--hub telemetry\ntidemark checkpoint set ... --execute"),
        ("Take that back:", "tidemark checkpoint import --execute < tidemark-undo-TIME.jsonl")],
    "tidemark-size": [
        ("The units that 24000 events of 300 bytes a second need, read by two groups:",
         "tidemark size --events 24000/s --event-size 300 --groups 2")],
    "tidemark-hub": [],
}
EXIT = {
    "tidemark": [("0", "done"), ("1", "failed, or an alarm of status has gone off"), ("2", "wrong options")],
    "tidemark-hub": [("0", "ended by a signal"), ("1", "failed"), ("2", "wrong options")],
}


def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.M)


def help_of(program, *command):
    return subprocess.run([program, *command, "--help"], check=True, capture_output=True, text=True).stdout


def parse(text):
    """(usage, description, [(heading, [(what, meaning)])])"""
    lines = text.rstrip().split("\n")
    usage = lines[0].split(":", 1)[1].strip()
    description, sections, heading = [], [], "OPTIONS"
    for line in lines[1:]:
        if not line.strip():
            if description and description[-1]:
                description.append("")
            continue
        if re.match(r"  \S", line):
            what, _, meaning = re.sub(r"^  ", "", line).partition("  ")
            if not sections or sections[-1][0] != heading:
                sections.append((heading, []))
            sections[-1][1].append((what.strip(), meaning.strip()))
        elif line.startswith("   ") and sections:
            what, meaning = sections[-1][1][-1]
            sections[-1][1][-1] = (what, (meaning + " " + line.strip()).strip())
        elif re.match(r"[a-z][^.]*$", line):
            heading = line.strip()
        else:
            description.append(line.strip())
    return usage, "\n".join(description).strip(), sections


def page(name, about, parsed, version, others, exits):
    usage, description, sections = parsed
    out = [f'.TH "{name.upper()}" 1 "" "Tidemark {version}" "Tidemark"', ".SH NAME",
           f"{escape(name)} \\- {escape(about)}", ".SH SYNOPSIS", ".nf", escape(usage.replace("     ", "\n")), ".fi",
           ".SH DESCRIPTION", escape(description).replace("\n\n", "\n.PP\n")]
    variables = {}
    for heading, entries in sections:
        out.append(f'.SH "{escape(heading.upper())}"')
        for what, meaning in entries:
            out += [".TP", f".B {escape(what)}", escape(meaning) or "\\&"]
            for variable in re.findall(r"\[([A-Z][A-Z0-9_]+)\]", meaning):
                variables[variable] = what.split()[0]
    if variables:
        out.append(".SH ENVIRONMENT")
        for variable, option in sorted(variables.items()):
            out += [".TP", f".B {variable}", f"stands for {escape(option)} where that is not given"]
    out.append(".SH \"EXIT STATUS\"")
    for code, meaning in exits:
        out += [".TP", f".B {code}", escape(meaning)]
    if EXAMPLES.get(name):
        out.append(".SH EXAMPLES")
        for i, (text, command) in enumerate(EXAMPLES[name]):
            out += [".PP"] * (i > 0) + [escape(text), ".PP", ".nf", ".RS", escape(command), ".RE", ".fi"]
    out += [".SH \"SEE ALSO\"", ", ".join(f".BR {escape(o)} (1)" if i == 0 else f"{escape(o)}(1)"
                                           for i, o in enumerate(o for o in others if o != name))]
    return "\n".join(out) + "\n"


def main():
    program, version, folder = sys.argv[1:]
    folder = pathlib.Path(folder)
    name = pathlib.Path(program).name
    if name == "tidemark-hub":
        parsed = parse(help_of(program))
        others = ["tidemark"]
        pages = {name: page(name, "an Event Hubs compatible server for development and tests", parsed, version,
                            others, EXIT[name])}
    else:
        top = parse(help_of(program))
        commands = [entry for _, entries in top[2] for entry in entries]
        names = [f"{name}-{c}" for c, _ in commands]
        about = "reads, sends and looks after Azure Event Hubs streams"
        overview = (top[0], "Each command has its own page and its own --help.",
                    [("commands", commands)])
        pages = {name: page(name, about, overview, version, names + ["tidemark-hub"], EXIT["tidemark"])}
        for command, meaning in commands:
            # tidemark-hub is another program; the command hub has the page of its own name
            own = f"{name}-{command}" if command != "hub" else f"{name}-hub-properties"
            pages[own] = page(own, meaning, parse(help_of(program, command)), version, [name], EXIT["tidemark"])
    folder.mkdir(parents=True, exist_ok=True)
    for own, text in pages.items():
        (folder / f"{own}.1").write_text(text)


main()
