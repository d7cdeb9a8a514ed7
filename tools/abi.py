#!/usr/bin/env python3
"""The binary interface: exported functions, and sizes, fields and numbers of what is in the public headers.

  abi.py BUILD            compares with tools/abi.txt, the last release: what went or changed fails, what came is shown
  abi.py BUILD --accept   writes tools/abi.txt anew; part of making a release
"""
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
KEPT = ROOT / "tools/abi.txt"


def functions(library):
    out = subprocess.run(["nm", "-D", "--defined-only", "--with-symbol-versions", str(library)], capture_output=True, text=True,
                         check=True).stdout
    return {f"function {l.split()[2].replace('@@', ' ')}" for l in out.splitlines() if " T " in l}


def layouts(clang, source):
    """Each record as `struct NAME OFFSET TYPE FIELD` and its size."""
    out = subprocess.run([clang, "-I", str(ROOT / "include"), "-fsyntax-only", "-Xclang", "-fdump-record-layouts-complete", str(source)],
                         capture_output=True, text=True, check=True).stdout
    lines = set()
    for block in out.split("*** Dumping AST Record Layout")[1:]:
        rows = [l.split("|", 1) for l in block.splitlines() if "|" in l]
        name = rows[0][1].strip() if rows else ""
        if not re.match(r"(struct|union) tmk_\w+$", name):
            continue
        for offset, text in rows[1:]:
            what = re.sub(r"\s+", " ", re.sub(r"\(.* at [^)]*\)", "(anonymous)", text.strip()))
            lines.add(f"{name} {offset.strip()} {what}" if offset.strip() else f"{name} {what}")
    return lines


def numbers(folder, source):
    names = set()
    for h in (ROOT / "include/tidemark").glob("*.h"):
        text = re.sub(r"/\*.*?\*/", "", h.read_text(), flags=re.S)
        for body in re.findall(r"\benum\b[^{;]*\{(.*?)\}", text, re.S):
            names |= set(re.findall(r"\b(TMK_[A-Z0-9_]+)\b\s*(?:=|,|$)", body, re.M))
    program = pathlib.Path(folder) / "numbers.c"
    program.write_text(source.read_text() + "#include <stdio.h>\nint main(void) {\n" + "".join(
        f'    printf("number {n} %lld\\n", (long long){n});\n' for n in sorted(names)) + "    return 0;\n}\n")
    binary = pathlib.Path(folder) / "numbers"
    subprocess.run(["cc", "-I", str(ROOT / "include"), str(program), "-o", str(binary)], check=True)
    return set(subprocess.run([str(binary)], capture_output=True, text=True, check=True).stdout.splitlines())


def main(build, *rest):
    build = pathlib.Path(build)
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "all.c"
        source.write_text("".join(f"#include <tidemark/{h.name}>\n" for h in sorted((ROOT / "include/tidemark").glob("*.h"))))
        now = functions(build / "libtidemark.so") | functions(build / "tools/hub/libtidemark-hub.so") \
            | functions(build / "tools/testkit/libtidemark-testkit.so") \
            | layouts("clang", source) | numbers(folder, source)
    if "--accept" in rest:
        KEPT.write_text("".join(f"{l}\n" for l in sorted(now)))
        print(f"{len(now)} lines written")
        return 0
    kept = set(KEPT.read_text().splitlines())
    for l in sorted(now - kept):
        print("+", l)
    # A struct that begins with its own size may grow.
    gone = {l for l in kept - now if "[sizeof=" not in l or f"{l.partition(' [')[0]} 0 size_t size" not in now}
    for l in sorted(gone):
        print("-", l)
    if gone:
        print("abi: programs built with the last release would break; a new soname, or a field at the end of a struct instead")
    return 1 if gone else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
