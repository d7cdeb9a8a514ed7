#!/usr/bin/env python3
"""What the documents say exists, and what exists is in the documents."""
import os
import pathlib
import re
import subprocess
import tempfile

import yaml

from harness import BUILD as build, ROOT, Skipped, check, run, sanitized

BUILD = build.resolve()
HEADERS = sorted((ROOT / "include/tidemark").glob("*.h"))
DOCS = sorted(ROOT.glob("docs/**/*.md")) + [ROOT / n for n in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + \
    sorted(ROOT.glob("samples/**/*.md"))


def without_comments(text):
    return re.sub(r"//[^\n]*", "", re.sub(r"/\*.*?\*/", "", text, flags=re.S))


def option_structs():
    """{struct: [field, ...]} of everything in the public headers that a program fills in."""
    structs = {}
    for header in HEADERS:
        for body, name in re.findall(r"typedef struct \w+ \{(.*?)\n\} (\w+);", without_comments(header.read_text()), re.S):
            if not (name.endswith("_options") or name == "tmk_log"):
                continue
            fields = []
            for statement in filter(str.strip, body.split(";")):
                statement = " ".join(statement.split())
                function = re.search(r"\(\*(\w+)\)\s*\(", statement)
                fields += [function.group(1)] if function else \
                    [re.sub(r"\[.*", "", part).split()[-1].lstrip("*") for part in statement.split(",")]
            structs[name] = fields
    return structs


def documented_options():
    sections, name = {}, None
    for line in (ROOT / "docs/CONFIGURATION.md").read_text().splitlines():
        heading = re.match(r"#+ (\w+)$", line)
        if heading and heading.group(1).startswith("tmk_"):
            name = heading.group(1)
            sections[name] = []
        elif re.match(r"## ", line):
            name = None
        elif name and line.startswith("| `"):
            sections[name] += re.findall(r"`(\w+)`", line.split("|")[1])
    return sections


def every_option_is_documented_and_every_documented_one_exists():
    there, told = option_structs(), documented_options()
    check(len(there) >= 8, f"the headers' structs were not found: {sorted(there)}")
    for name, fields in there.items():
        check(name in told, f"docs/CONFIGURATION.md has no section '{name}'")
        check(set(fields) == set(told[name]),
              f"{name}: not documented: {sorted(set(fields) - set(told[name]))}; "
              f"documented and not there: {sorted(set(told[name]) - set(fields))}")
    check(set(told) == set(there), f"sections without a struct: {sorted(set(told) - set(there))}")


def every_public_function_has_words_before_it():
    for header in HEADERS:
        text = header.read_text()
        for m in re.finditer(r"^TMK_API[^;{]*?(tmk_\w+)\(", text, re.M):
            before = text[:m.start()].rstrip()
            alone = before.endswith("*/")
            # a run of functions after one comment, or what an _init macro with words stands for
            grouped = before[-1] in ";}" or before.splitlines()[-1].startswith("#define")
            check(alone or grouped, f"{header.name}: {m.group(1)} is not documented")


def names_of_functions_in_documents_exist():
    known = set()
    for header in HEADERS:
        known |= set(re.findall(r"\b(tmk_\w+|TMK_\w+)\b", header.read_text()))
    inside = set()
    for folder in ("lib", "checkpoint", "processor", "tools", "tests"):
        for file in (ROOT / folder).rglob("*.[ch]"):
            inside |= set(re.findall(r"\b(tmk_\w+|TMK_\w+)\b", file.read_text(errors="replace")))
    for document in DOCS:
        for name in re.findall(r"\b(tmk_\w+|TMK_\w+)\b", document.read_text()):
            if name.endswith("_"):
                continue  # a family: TMK_START_...
            internal = "internals" in document.parts or document.name in ("ARCHITECTURE.md", "CONTRIBUTING.md", "TESTING.md", "CHANGELOG.md") \
                or "decisions" in document.parts
            check(name in known or internal and name in inside or name in inside and name.islower() is False,
                  f"{document.relative_to(ROOT)} names {name}, which no public header has")


def options_named_in_documents_exist():
    programs = {"tidemark": BUILD / "tools/tidemark/tidemark", "tidemark-hub": BUILD / "tools/hub/tidemark-hub"}
    said = subprocess.run([programs["tidemark-hub"], "--help"], capture_output=True, text=True).stdout
    top = subprocess.run([programs["tidemark"], "--help"], capture_output=True, text=True).stdout
    for command in re.findall(r"^  (\w+)  ", top, re.M):
        said += subprocess.run([programs["tidemark"], command, "--help"], capture_output=True, text=True).stdout
    known = set(re.findall(r"--[a-z][a-z0-9-]+", said)) | {"--help", "--version"}
    for document in DOCS:
        for line in document.read_text().splitlines():
            for m in re.finditer(r"\btidemark(?:-hub)?(?: [a-z]+)?((?: [^`|;&<>]*)?)", line):
                for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", m.group(1)):
                    check(option in known, f"{document.relative_to(ROOT)}: there is no option {option}: {line.strip()}")


def seconds(text):
    number, unit = re.match(r"(\d+)(s|m|h)?$", str(text)).groups()
    return int(number) * {"s": 1, None: 1, "m": 60, "h": 3600}[unit]


def the_kubernetes_files_fit_the_program_and_each_other():
    folder = ROOT / "samples/aks"
    there = {(d["kind"], file.name): d for file in sorted(folder.glob("*.yaml")) for d in yaml.safe_load_all(file.read_text())
             if isinstance(d, dict) and "kind" in d}
    deployment = there["Deployment", "worker.yaml"]
    pod = deployment["spec"]["template"]
    container = pod["spec"]["containers"][0]
    said = subprocess.run([BUILD / "tools/tidemark/tidemark", "consume", "--help"], capture_output=True, text=True).stdout
    options = dict(a.lstrip("-").split("=", 1) for a in container["args"])
    for name in options:
        check(re.search(rf"^  --{name}\b", said, re.M), f"worker.yaml: consume has no option --{name}")
    check(pod["spec"]["terminationGracePeriodSeconds"] >= seconds(options["stop-deadline"]) + 15, "the grace is too short for the stop")
    check(pod["metadata"]["labels"]["azure.workload.identity/use"] == "true", "no token would be mounted")
    check(pod["spec"]["serviceAccountName"] == there["ServiceAccount", "worker.yaml"]["metadata"]["name"], "another account")
    labels = pod["metadata"]["labels"].items()
    for kind in ("Deployment", "PodDisruptionBudget"):
        check(there[kind, "worker.yaml"]["spec"]["selector"]["matchLabels"].items() <= labels, f"{kind} selects other pods")
    for kind, file in (("HorizontalPodAutoscaler", "hpa.yaml"), ("ScaledObject", "keda.yaml")):
        check(there[kind, file]["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"], f"{file} scales something else")
    source = "".join(f.read_text() for f in (ROOT / "tools/tidemark").glob("*.[ch]"))
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        path = container[probe]["httpGet"]["path"]
        check(f'"{path}"' in source, f"{probe} asks for {path}, which --http does not answer")
    keda = there["ScaledObject", "keda.yaml"]["spec"]["triggers"][0]["metadata"]
    check(keda["checkpointStrategy"] == "blobMetadata", "KEDA would look for other blobs")
    check(keda["consumerGroup"] == options["group"] and keda["eventHubName"] == options["hub"], "KEDA looks at another group")
    check(options["store"] == f"blob:{keda['blobContainer']}", "KEDA looks into another container")


def every_link_leads_somewhere():
    for document in DOCS:
        text = re.sub(r"```.*?```", "", document.read_text(), flags=re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (document.parent / path) if path else document
            check(file.exists(), f"{document.relative_to(ROOT)} links to {target}, which is not there")
            if anchor and file.suffix == ".md":
                anchors = {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-")
                           for h in re.findall(r"^#+ (.*)$", file.read_text(), re.M)}
                check(anchor in anchors, f"{document.relative_to(ROOT)} links to {target}: no such heading")


def the_readme_example_compiles_and_is_short():
    if sanitized():
        raise Skipped("a program without the sanitizer cannot load a library with it")
    example = re.search(r"```c\n(.*?)```", (ROOT / "README.md").read_text(), re.S).group(1)
    check(len(example.splitlines()) <= 40, f"{len(example.splitlines())} lines")
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "example.c"
        source.write_text(example)
        out = subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'include'}", source, f"-L{BUILD}", "-ltidemark",
                              f"-Wl,-rpath,{BUILD}", "-o", f"{folder}/example"], capture_output=True, text=True)
        check(out.returncode == 0, out.stderr)
        env = {**os.environ, "EVENTHUB_CONNECTION_STRING": "Endpoint=nonsense"}
        out = subprocess.run([f"{folder}/example"], capture_output=True, text=True, cwd=folder, env=env, timeout=20)
        check(out.returncode != 0 and "Endpoint" in out.stderr, f"{out.returncode} {out.stderr}")


def manual_pages_name_every_option_and_are_well_formed():
    pages = {p.name: p.read_text() for p in (BUILD / "tools").glob("*.1")}
    check("tidemark-consume.1" in pages and "tidemark-hub.1" in pages, f"pages: {sorted(pages)}")
    top = subprocess.run([BUILD / "tools/tidemark/tidemark", "--help"], capture_output=True, text=True).stdout
    for command in re.findall(r"^  (\w+)  ", top, re.M):
        text = subprocess.run([BUILD / "tools/tidemark/tidemark", command, "--help"], capture_output=True, text=True).stdout
        page = pages.get(f"tidemark-{command}.1" if command != "hub" else "tidemark-hub-properties.1")
        check(page is not None, f"the command '{command}' has no page")
        for option in re.findall(r"^  (--[a-z0-9-]+)", text, re.M):
            check(option.replace("-", "\\-") in page, f"{command}: {option} is not in its page")
    for name, page in pages.items():
        check(page.startswith(".TH ") and ".SH NAME\n" in page and ".SH \"EXIT STATUS\"" in page, name)


if __name__ == "__main__":
    run(every_option_is_documented_and_every_documented_one_exists, every_public_function_has_words_before_it,
        names_of_functions_in_documents_exist, options_named_in_documents_exist, the_kubernetes_files_fit_the_program_and_each_other,
        every_link_leads_somewhere,
        the_readme_example_compiles_and_is_short, manual_pages_name_every_option_and_are_well_formed)
