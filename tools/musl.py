#!/usr/bin/env python3
"""Reads every source of the library and the programs with musl's headers in place of glibc's: musl.py [BUILD]

Debian has musl (musl-tools), but none of the libraries that we need in a build against it. So nothing is
linked: what is found is a function, a header or a constant that only glibc has. The headers of
the other libraries are Debian's. Prints what does not compile; exit code 1 then.
"""
import concurrent.futures
import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ("lib/", "processor/", "checkpoint/", "tools/", "samples/")
# Of the libraries and of the kernel: names in /usr/include or in the folder of this machine's kind below it.
OTHERS = ("proton", "openssl", "curl", "jansson.h", "jansson_config.h", "expat.h", "expat_external.h", "expat_config.h",
          "microhttpd.h", "sqlite3.h")
KERNEL = ("linux", "asm", "asm-generic")


def link_headers(names, into):
    kind = subprocess.run(["gcc", "-print-multiarch"], capture_output=True, text=True, check=True).stdout.strip()
    for name in names:
        for place in (pathlib.Path("/usr/include") / kind / name, pathlib.Path("/usr/include") / name):
            if place.is_dir():
                (into / name).mkdir(parents=True, exist_ok=True)
                for file in place.iterdir():
                    if not (into / name / file.name).exists():
                        (into / name / file.name).symlink_to(file)
            elif place.exists() and not (into / name).exists():
                (into / name).symlink_to(place)


def command_for(entry, others, kernel):
    kept = []
    words = iter(shlex.split(entry["command"])[1:])
    for word in words:
        if word in ("-MQ", "-MF", "-o"):
            next(words)
        elif word not in ("-MD", "-c") and not word.startswith(("-I/usr/", "-D_FORTIFY_SOURCE")):
            kept.append(word)
    return ["musl-gcc", "-fsyntax-only", "-I", str(others), "-idirafter", str(kernel), *kept]


def main():
    build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build").resolve()
    entries = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        name = os.path.relpath(os.path.join(entry["directory"], entry["file"]), ROOT)
        if name.startswith(FOLDERS) and name.endswith(".c"):
            entries.setdefault(name, entry)
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        others, kernel = pathlib.Path(folder) / "others", pathlib.Path(folder) / "kernel"
        link_headers(OTHERS, others)
        link_headers(KERNEL, kernel)
        runs = pool.map(lambda e: subprocess.run(command_for(e, others, kernel), cwd=e["directory"], capture_output=True, text=True),
                        entries.values())
        bad = [(name, run.stderr) for name, run in zip(entries, runs) if run.returncode != 0]
    for name, text in bad:
        print(f"{name} does not compile with musl:\n{text}")
    print(f"{len(entries) - len(bad)} of {len(entries)} sources compile with musl")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
