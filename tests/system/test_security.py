#!/usr/bin/env python3
"""What docs/SECURITY.md says of the binaries, and that the tests that it names are there."""
import re
import subprocess

from harness import BUILD, ROOT, Skipped, check, run, sanitized


def out_of(*args):
    return subprocess.run([str(a) for a in args], check=True, capture_output=True, text=True).stdout


def the_binaries_are_hardened():
    if sanitized():
        raise Skipped("what is shipped has no sanitizer")
    library = next(BUILD.glob("libtidemark.so.*.*"))
    for binary in (BUILD / "tools/tidemark/tidemark", BUILD / "tools/hub/tidemark-hub", library):
        segments, dynamic = out_of("readelf", "-lW", binary), out_of("readelf", "-dW", binary)
        check("DYN" in out_of("readelf", "-hW", binary), f"{binary.name} is not position independent")
        check("GNU_RELRO" in segments and re.search(r"BIND_NOW|\bNOW\b", dynamic), f"{binary.name} has no full RELRO")
        check(re.search(r"GNU_STACK.*\bRW\b\s", segments), f"{binary.name} has an executable stack")
    symbols = out_of("readelf", "--dyn-syms", "-W", library)
    check("__stack_chk_fail" in symbols, "no stack protector")
    if "_FORTIFY_SOURCE" in out_of("grep", "-r", "-h", "_FORTIFY_SOURCE", BUILD / "build.ninja"):
        check(re.search(r"__(memcpy|snprintf|vsnprintf|read)_chk", symbols), "no call is fortified")
    if "x86" in out_of("uname", "-m"):
        check(out_of("objdump", "-d", library).count("endbr64") > 500, "no marks for control-flow enforcement")


def every_test_that_the_documents_name_is_there():
    known = set()
    for pattern in ("tests/**/*.c", "tests/**/*.py", "tests/**/*.mjs", "tools/**/*.py"):
        for file in ROOT.glob(pattern):
            if "node_modules" not in file.parts:
                known |= set(re.findall(r"(?:static void|def) (\w+)\(", file.read_text(errors="replace")))
    for name in ("SECURITY.md", "GUARANTEES.md"):
        document = ROOT / "docs" / name
        if not document.exists():
            continue
        for line in document.read_text().splitlines():
            if line.startswith("|") or "::" in line:
                for test in re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+){2,})`", line):
                    check(test in known or re.search(r"_(ms|max|events|bytes|file)$", test), f"docs/{name} names a test '{test}' that is not there")


def nothing_is_on_the_stack_that_has_no_size():
    text = (BUILD / "build.ninja").read_text()
    check("-Wvla" in text, "variable length arrays are not refused")
    for file in [*ROOT.glob("lib/**/*.c"), *ROOT.glob("checkpoint/*.c"), *ROOT.glob("processor/**/*.c")]:
        check(not re.search(r"\balloca\s*\(", file.read_text()), f"{file} uses alloca")


if __name__ == "__main__":
    run(the_binaries_are_hardened, every_test_that_the_documents_name_is_there, nothing_is_on_the_stack_that_has_no_size)
