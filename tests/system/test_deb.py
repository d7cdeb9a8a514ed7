#!/usr/bin/env python3
"""The Debian packages: what is in them, what they ask for, and that they work when unpacked."""
import os
import pathlib
import re
import subprocess
import tempfile

from harness import check, run

SOURCE = pathlib.Path(__file__).resolve().parents[2]
packages = {}


def call(*args, **kw):
    out = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=900, check=False, **kw)
    check(out.returncode == 0, f"{args}: {out.stdout[-1000:]}{out.stderr[-2000:]}")
    return out.stdout


def they_are_built():
    for line in call("sh", SOURCE / "tools/deb.sh").splitlines():
        if line.endswith(".deb"):
            packages[line.rpartition("/")[2].partition("_")[0]] = SOURCE / line
    check(set(packages) == {"libtidemark0", "libtidemark-dev", "tidemark-tools"}, packages)


def each_holds_what_belongs_there():
    wanted = {"libtidemark0": r"usr/lib/[^/]+/libtidemark(-hub)?\.so\.\d", "libtidemark-dev": r"usr/include/tidemark/\w+\.h$|"
              r"usr/lib/[^/]+/(libtidemark(-hub)?\.(so|a)( -> .*)?$|pkgconfig/|cmake/tidemark/)",
              "tidemark-tools": r"usr/bin/tidemark(-hub)?$|usr/share/man/"}
    for name, pattern in wanted.items():
        lines = [l for l in call("dpkg-deb", "-c", packages[name]).splitlines() if not l.startswith("d")]
        check(all(" root/root " in l for l in lines), "something is not root's")
        files = [re.split(r" \./", l, maxsplit=1)[1] for l in lines]
        odd = [f for f in files if not re.match(pattern, f) and not f.startswith(f"usr/share/doc/{name}/")]
        check(not odd, f"{name}: {odd}")
        check(sum(bool(re.match(pattern, f)) for f in files) >= 2, files)


def each_asks_for_what_it_needs():
    library = call("dpkg-deb", "-f", packages["libtidemark0"], "Depends")
    for need in ("libc6", "libcurl4", "libjansson4", "libqpid-proton11", "libssl3", "libexpat1"):
        check(need in library, library)
    check("libtidemark" not in library, library)
    for name in ("libtidemark-dev", "tidemark-tools"):
        check("libtidemark0 (= " in call("dpkg-deb", "-f", packages[name], "Depends"), name)


def they_work_when_unpacked():
    with tempfile.TemporaryDirectory() as root:
        for p in packages.values():
            call("dpkg-deb", "-x", p, root)
        lib = next(pathlib.Path(root).glob("usr/lib/*/libtidemark.so")).parent
        env = {**os.environ, "LD_LIBRARY_PATH": str(lib)}
        for program in ("tidemark", "tidemark-hub"):
            check(call(f"{root}/usr/bin/{program}", "--version", env=env).startswith(program + " 0."), program)
        source = pathlib.Path(root) / "p.c"
        source.write_text("#include <tidemark/client.h>\nint main(void) { return tmk_client_free(0) != 0; }\n")
        call("gcc", source, f"-I{root}/usr/include", f"-L{lib}", "-ltidemark", "-o", f"{root}/p")
        call(f"{root}/p", env=env)


if __name__ == "__main__":
    run(they_are_built, each_holds_what_belongs_there, each_asks_for_what_it_needs, they_work_when_unpacked)
