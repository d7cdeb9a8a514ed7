#!/usr/bin/env python3
"""Rules of the source that a compiler does not check: layers, naming, forbidden calls.

  - a file includes only from its own layer and from those below it
  - the pure core reaches for nothing outside
  - functions that overrun, kill the process or read the clock behind our back are not called
  - every header compiles by itself (--headers)

Prints one line a finding; exit code 1 when there is any.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What a folder may include of ours: prefixes of the text between the quotes.
LAYERS = {
    "lib/base": ["base/"],
    "lib/net": ["base/", "net/"],
    "lib/auth": ["base/", "net/", "auth/"],
    "lib/amqp": ["base/", "net/", "auth/", "amqp/"],
    "lib/eventhubs": ["base/", "net/", "auth/", "amqp/", "eventhubs/"],
    "checkpoint": ["base/", "net/", "auth/", "checkpoint/", "blob", "store", "file", "memory", "done"],
    "processor/core": ["base/", "core/", "eventhubs/burst.h", "eventhubs/source.h"],
    "processor/run": ["base/", "net/", "amqp/condition.h", "eventhubs/", "core/", "run/"],
    "tools/hub": ["base/", "net/", "amqp/bytes.h", "amqp/wire.h", "amqp/scan.h", "eventhubs/names.h", "auth/sas.h", "hub"],
    "tools/testkit": ["base/", "amqp/wire.h", "amqp/compose.h", "eventhubs/", "checkpoint/", "core/", "run/", "hub/event.h", "hub/names.h", "contract/", "kit", "kernel.h", "sim_"],
    "samples": [],
}
PURE = re.compile(r'#include <(pthread|sys/|curl|proton|time\.h|unistd|poll|fcntl|openssl|jansson)')
FORBIDDEN = re.compile(
    r"\b(strcpy|strcat|sprintf|vsprintf|gets|alloca|abort|exit|_exit|system|popen|signal|rand|srand|"
    r"strtok|localtime|gmtime|asctime|atoi|atol|sleep|usleep|nanosleep|malloc|calloc|realloc|free)\s*\("
)
ALLOWED = {  # file: the calls it may make, because it is what wraps them
    "lib/base/alloc.c": {"malloc", "realloc", "free"},
    "lib/base/assert.c": {"abort"},
    "lib/net/curl_memory.c": {"malloc", "free"},  # curl's own, and what it must be given
}


def strip(text):
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group(0).count("\n"), text, flags=re.S)
    text = re.sub(r'"(\\.|[^"\\\n])*"', lambda m: m.group(0) if "/" in m.group(0) or ".h" in m.group(0) else '""', text)
    return re.sub(r"//[^\n]*", "", text)


def check_file(path):
    name = str(path.relative_to(ROOT))
    layer = next((l for l in sorted(LAYERS, key=len, reverse=True) if name.startswith(l + "/")), None)
    for number, line in enumerate(strip(path.read_text()).splitlines(), 1):
        where = f"{name}:{number}"
        include = re.match(r'\s*#include "([^"]+)"', line)
        if include and layer is not None:
            if not any(include.group(1).startswith(p) for p in LAYERS[layer]):
                yield f'{where}: {layer} may not include "{include.group(1)}"'
            continue
        if layer == "processor/core" and PURE.search(line):
            yield f"{where}: the pure core reaches for the outside: {line.strip()}"
        if name.startswith(("lib/", "checkpoint/", "processor/")):
            for call in FORBIDDEN.finditer(line):
                if call.group(1) in ALLOWED.get(name, ()) or line[: call.start()].rstrip().endswith(("->", ".", "*")):
                    continue
                yield f"{where}: {call.group(1)}() is not used here"
        if len(line) > 120:
            yield f"{where}: line of {len(line)} characters"


def check_headers(compilers):
    for header in sorted([*ROOT.glob("include/**/*.h"), *ROOT.glob("lib/**/*.h"), *ROOT.glob("processor/**/*.h")]):
        for cc in compilers:
            args = [cc, "-std=gnu11", "-fsyntax-only", "-D_GNU_SOURCE", "-I", "include", "-I", "lib", "-I", "processor", "-x", "c", str(header)]
            out = subprocess.run(args, cwd=ROOT, capture_output=True, text=True)
            if out.returncode:
                yield f"{header.relative_to(ROOT)}: does not stand alone under {cc}: {out.stderr.splitlines()[0]}"


def main():
    files = subprocess.run(["git", "ls-files", "*.c", "*.h"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    findings = [f for name in files if (ROOT / name).exists() for f in check_file(ROOT / name)]
    if "--headers" in sys.argv:
        findings += check_headers(["gcc"])
    print("\n".join(findings))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
