#!/usr/bin/env python3
"""Each public header by itself, twice, as a user's compiler sees it: C11, C99 where it has no
anonymous union, C++17; all warnings, nothing but the standard."""
import pathlib
import shutil
import subprocess
import sys

INCLUDE = pathlib.Path(sys.argv[1])
C11_ALONE = {"tidemark/event.h"}  # an anonymous union; and whoever includes it
LANGUAGES = [(["gcc"], "c", "c11"), (["gcc"], "c", "c99"), (["clang"], "c", "c11"), (["g++"], "c++", "c++17"),
             (["clang++"], "c++", "c++17")]


def includes(header, seen):
    """All that a header brings along."""
    for line in (INCLUDE / header).read_text().splitlines():
        if line.startswith("#include <tidemark/"):
            name = line.split("<")[1].split(">")[0]
            if name not in seen:
                seen.add(name)
                includes(name, seen)
    return seen


def compiles(command, language, standard, header):
    text = f"#include <{header}>\n#include <{header}>\nint main(void) {{ return 0; }}\n"
    out = subprocess.run(command + ["-x", language, f"-std={standard}", "-pedantic-errors", "-Wall", "-Wextra", "-Werror",
                                    "-fsyntax-only", f"-I{INCLUDE}", "-"], input=text, capture_output=True, text=True)
    return out.returncode == 0, out.stderr


def main():
    headers = sorted(f"tidemark/{p.name}" for p in (INCLUDE / "tidemark").glob("*.h"))
    number, bad = 0, 0
    for command, language, standard in LANGUAGES:
        if shutil.which(command[0]) is None:
            print(f"# there is no {command[0]}")
            continue
        for header in headers:
            if standard == "c99" and (includes(header, {header}) & C11_ALONE):
                continue
            number += 1
            good, text = compiles(command, language, standard, header)
            bad += not good
            print(f"{'ok' if good else 'not ok'} {number} - {header} as {standard} by {command[0]}")
            for line in text.splitlines()[:6]:
                print(f"# {line}")
    print(f"1..{number}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
