#!/usr/bin/env python3
"""What is installed can be used: symbols, pkg-config, CMake, meson, and the README's program with each."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from harness import BUILD, check, run, sanitized, wait_for, world

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PREFIX = "usr/local"


def call(*args, cwd=None, env=None, seconds=300):
    out = subprocess.run([str(a) for a in args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd,
                         env={**os.environ, **(env or {})}, timeout=seconds)
    check(out.returncode == 0, f"{' '.join(map(str, args))}: {out.stdout[-3000:]}")
    return out.stdout


class Installed:
    """A copy of what `meson install` installs, in a folder of its own: it must not matter where."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        call("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", self.folder / "stage")
        self.prefix = self.folder / "moved"
        shutil.move(self.folder / "stage" / PREFIX, self.prefix)
        self.lib = next(self.prefix.glob("lib/**/libtidemark.so")).parent
        self.program = self.folder / "program.c"
        self.program.write_text(re.search(r"```c\n(.*?)```", (SOURCE / "README.md").read_text(), re.S).group(1))

    def pkg_config(self, *args):
        return call("pkg-config", f"--define-variable=prefix={self.prefix}", *args,
                    env={"PKG_CONFIG_PATH": str(self.lib / "pkgconfig")}).split()


installed = None


def exported(library):
    lines = call("nm", "-D", "--defined-only", library).splitlines()
    return {l.split()[2].partition("@")[0] for l in lines if l.split()[1] in "TDBRV"}


def declared(*headers):
    names = set()
    for h in headers:
        text = re.sub(r"/\*.*?\*/", "", h.read_text(), flags=re.S)
        text = re.sub(r"^#.*$", "", text, flags=re.M)
        names |= {re.search(r"\b(tmk_\w+)\s*\(", d).group(1) for d in re.findall(r"\bTMK_API\b[^;]*;", text)}
    return names


# In the test kit alone.
CONTRACT = {"tmk_store_contract_fill", "tmk_store_contract_run"}


def the_libraries_export_what_the_headers_declare_and_nothing_else():
    headers = set((installed.prefix / "include/tidemark").glob("*.h"))
    hub = installed.prefix / "include/tidemark/hub.h"
    kit = installed.prefix / "include/tidemark/testkit.h"
    everything = declared(*(headers - {hub, kit})) - CONTRACT
    for library, wanted in (("libtidemark.so", everything), ("libtidemark-hub.so", declared(hub)),
                            ("libtidemark-testkit.so", everything | CONTRACT | declared(kit))):
        got = exported(installed.lib / library)
        check(len(wanted) > 10, wanted)
        check(got == wanted, f"{library}: too many {sorted(got - wanted)}, missing {sorted(wanted - got)}")


def symbols_have_a_version():
    for library, version in (("libtidemark.so", "TIDEMARK_0"), ("libtidemark-hub.so", "TIDEMARK_HUB_0")):
        lines = [l for l in call("nm", "-D", "--defined-only", "--with-symbol-versions", installed.lib / library).splitlines()
                 if " T " in l]
        check(lines and all(l.endswith("@@" + version) for l in lines), lines[:3])
        check(f"{library}.0" in call("readelf", "-d", installed.lib / library), "no soname")


def the_test_kit_has_the_librarys_symbols_under_the_same_version():
    """So that a library of the user's that was linked with Tidemark finds them there."""
    def versions(library):
        return {l.split()[2] for l in call("nm", "-D", "--defined-only", "--with-symbol-versions", installed.lib / library).splitlines()
                if " T " in l}

    own = {s for s in versions("libtidemark-testkit.so") if s.endswith("@@TIDEMARK_TESTKIT_0")}
    check(versions("libtidemark-testkit.so") - own == versions("libtidemark.so"), "not the same")
    check(own and all(s.startswith(("tmk_kit_", "tmk_store_contract_")) for s in own), own)


def replay(*command):
    """What the kit's sample prints; once more it is the same."""
    out = call(*command, env={"TIDEMARK_KIT_SEED": "5"}, seconds=60)
    check("lost 0, repeated 0" in out and out == call(*command, env={"TIDEMARK_KIT_SEED": "5"}, seconds=60), out)


def a_test_links_with_the_test_kit_alone():
    sample = SOURCE / "samples/testkit.c"
    program = installed.folder / "kit"
    call("gcc", "-Wall", "-Wextra", "-Werror", sample, *installed.pkg_config("--cflags", "--libs", "tidemark-testkit"),
         f"-Wl,-rpath,{installed.lib}", "-o", program)
    check("libtidemark.so" not in call("ldd", program), "it needs the library besides")
    replay(program)


def a_shared_library_linked_with_tidemark_is_tested_with_the_kit():
    """The handler stands in a library that production links with Tidemark; in the test the kit's functions go first."""
    parts = installed.folder / "parts"
    parts.mkdir()
    text = (SOURCE / "samples/testkit.c").read_text().replace("int main(void)", "int test(void)")
    (parts / "handler.c").write_text(text)
    (parts / "main.c").write_text("int test(void);\nint main(void) {\n    return test();\n}\n")
    kit = installed.pkg_config("--cflags", "--libs", "tidemark-testkit")
    call("gcc", "-shared", "-fPIC", parts / "handler.c", *installed.pkg_config("--cflags", "--libs", "tidemark"),
         "-o", parts / "libhandler.so", "-Wl,--unresolved-symbols=ignore-all", f"-Wl,-rpath,{installed.lib}")
    call("gcc", parts / "main.c", "-Wl,--no-as-needed", parts / "libhandler.so", *kit, f"-Wl,-rpath,{installed.lib}:{parts}", "-o", parts / "main")
    check("libtidemark.so" in call("ldd", parts / "main"), "it was meant to be there too")
    replay(parts / "main")


def the_test_kit_links_as_an_archive():
    alone = installed.folder / "kit-archives"
    shutil.copytree(installed.prefix, alone, symlinks=True)
    for so in alone.glob("lib/**/*.so*"):
        so.unlink()
    flags = [f.replace(str(installed.prefix), str(alone))
             for f in installed.pkg_config("--static", "--cflags", "--libs", "tidemark-testkit")]
    call("gcc", SOURCE / "samples/testkit.c", *flags, "-o", installed.folder / "kit-static")
    check("libtidemark" not in call("ldd", installed.folder / "kit-static"), "it is not static")
    replay(installed.folder / "kit-static")


def works(program):
    """The README's program handles an event and stops when told."""
    with world(partitions=2) as w:
        hub = w.spawn([BUILD / "tools/hub/tidemark-hub", "--hub", "telemetry:2"], stdout=subprocess.PIPE, text=True)
        text = json.loads(hub.stdout.readline())["connection_string"]
        env = {**os.environ, "EVENTHUB_CONNECTION_STRING": text}
        subprocess.run([BUILD / "tools/tidemark/tidemark", "send", "--hub", "telemetry", "--count", "3"], env=env, check=True,
                       capture_output=True, timeout=30)
        output = w.dir / "output"
        with open(output, "wb") as out:
            child = subprocess.Popen(["stdbuf", "-oL", program], cwd=w.dir, env=env, stdin=subprocess.PIPE, stdout=out,
                                     stderr=subprocess.STDOUT)
            w.processes.append(child)
            wait_for("the events", lambda: output.read_text().count("xxxx") > 0 and len(output.read_text().splitlines()) >= 3,
                     30)
            child.communicate(b"\n", timeout=40)
        check(child.returncode == 0, output.read_text())


def compile_with(compiler, flags, name, rpath=True):
    program = installed.folder / name
    paths = [f"-Wl,-rpath,{installed.lib}"] if rpath else []
    call(*compiler.split(), "-Wall", "-Wextra", "-Werror", installed.program, *flags, *paths, "-o", program)
    return program


def the_readmes_program_compiles_and_works_by_pkg_config():
    works(compile_with("gcc", installed.pkg_config("--cflags", "--libs", "tidemark"), "by-gcc"))


def clang_takes_it_too():
    clang = shutil.which("clang") or shutil.which("clang-14")
    check(clang is not None, "there is no clang: ./run setup installs it")
    compile_with(clang, installed.pkg_config("--cflags", "--libs", "tidemark"), "by-clang")


def the_static_library_links():
    """Only the archives: what it needs comes from pkg-config --static."""
    alone = installed.folder / "archives"
    shutil.copytree(installed.prefix, alone, symlinks=True)
    for so in alone.glob("lib/**/*.so*"):
        so.unlink()
    flags = [f.replace(str(installed.prefix), str(alone)) for f in installed.pkg_config("--static", "--cflags", "--libs", "tidemark")]
    program = compile_with("gcc", flags, "by-archive", rpath=False)
    check("libtidemark" not in call("ldd", program), "it is not static")
    works(program)


def headers_are_cpp_too():
    source = installed.folder / "all.cc"
    source.write_text("".join(f"#include <tidemark/{h.name}>\n" for h in (installed.prefix / "include/tidemark").glob("*.h"))
                      + "int main() { return TMK_OK; }\n")
    call("g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-c", source, *installed.pkg_config("--cflags", "tidemark"), "-o",
         installed.folder / "all.o")


def cmake_finds_it():
    check(shutil.which("cmake") is not None, "there is no cmake: ./run setup installs it")
    folder = installed.folder / "cmake"
    folder.mkdir()
    (folder / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.18)\nproject(user C)\nfind_package(tidemark 0.1 REQUIRED)\n"
        f"add_executable(program {installed.program})\ntarget_link_libraries(program tidemark::tidemark)\n"
        "add_executable(hub hub.c)\ntarget_link_libraries(hub tidemark::hub)\n"
        f"add_executable(kit {SOURCE / 'samples/testkit.c'})\ntarget_link_libraries(kit tidemark::testkit)\n")
    (folder / "hub.c").write_text("#include <tidemark/hub.h>\nint main(void) {\n    tmk_hub *hub = 0;\n    tmk_error err;\n"
                                  "    tmk_status st = tmk_hub_start(0, &hub, &err);\n    hub = tmk_hub_stop(hub);\n"
                                  "    return st;\n}\n")
    call("cmake", "-S", folder, "-B", folder / "build", f"-DCMAKE_PREFIX_PATH={installed.prefix}")
    call("cmake", "--build", folder / "build")
    works(folder / "build/program")
    call(folder / "build/hub")
    replay(folder / "build/kit")
    text = (folder / "CMakeLists.txt").read_text()
    (folder / "CMakeLists.txt").write_text(text.replace("tidemark 0.1", "tidemark 99"))
    wrong = subprocess.run(["cmake", "-S", str(folder), "-B", str(folder / "other"), f"-DCMAKE_PREFIX_PATH={installed.prefix}"],
                           capture_output=True, text=True, timeout=60)
    check(wrong.returncode != 0 and "99" in wrong.stderr, "a version that does not exist was found")


def a_meson_project_takes_it_as_a_subproject_without_tools():
    folder = installed.folder / "meson"
    (folder / "subprojects").mkdir(parents=True)
    (folder / "subprojects/tidemark").symlink_to(SOURCE)
    shutil.copy(installed.program, folder / "program.c")
    (folder / "meson.build").write_text(
        "project('user', 'c', default_options: ['buildtype=plain'])\n"
        "tidemark = dependency('tidemark', fallback: ['tidemark', 'tidemark_dep'],\n"
        "  default_options: ['tools=false', 'tests=false', 'samples=false', 'http=disabled', 'default_library=static'])\n"
        "executable('program', 'program.c', dependencies: tidemark)\n")
    call("meson", "setup", folder / "build", folder, env={"PKG_CONFIG_PATH": ""})
    call("ninja", "-C", folder / "build", "program")
    works(folder / "build/program")


def it_can_be_configured_without_tools():
    folder = installed.folder / "no-tools"
    call("meson", "setup", folder, SOURCE, "-Dtools=false", "-Dsamples=false")
    targets = call("ninja", "-C", folder, "-t", "targets", "all")
    check("libtidemark.so" in targets and "tidemark-hub:" not in targets, "tools are built")


def what_is_installed_is_what_is_meant():
    names = {str(p.relative_to(installed.prefix)) for p in installed.prefix.rglob("*") if not p.is_dir()}
    lib = str(installed.lib.relative_to(installed.prefix))
    for name in ("bin/tidemark", "bin/tidemark-hub", f"{lib}/libtidemark.so.0", f"{lib}/libtidemark.a",
                 f"{lib}/pkgconfig/tidemark.pc", f"{lib}/pkgconfig/tidemark-hub.pc",
                 f"{lib}/libtidemark-testkit.so.0", f"{lib}/libtidemark-testkit.a", f"{lib}/pkgconfig/tidemark-testkit.pc",
                 "include/tidemark/testkit.h", f"{lib}/cmake/tidemark/tidemarkConfig.cmake",
                 f"{lib}/cmake/tidemark/tidemarkConfigVersion.cmake", "include/tidemark/client.h", "include/tidemark/hub.h"):
        check(name in names, f"{name} is not installed")
    odd = [n for n in names if not re.match(rf"bin/tidemark(-hub)?$|include/tidemark/\w+\.h$|{lib}/libtidemark(-hub|-testkit)?\.(a|so[.0-9]*)$|"
                                            rf"{lib}/(pkgconfig/tidemark(-hub|-testkit)?\.pc|cmake/tidemark/\w+\.cmake)$|share/", n)]
    check(not odd, f"these are installed too: {odd}")


if __name__ == "__main__":
    if sanitized():
        print("1..0 # SKIP a program without the sanitizer cannot load a library with it")
        raise SystemExit
    with tempfile.TemporaryDirectory(prefix="tidemark-install-") as temp:
        installed = Installed(temp)
        run(what_is_installed_is_what_is_meant, the_libraries_export_what_the_headers_declare_and_nothing_else,
            symbols_have_a_version, the_test_kit_has_the_librarys_symbols_under_the_same_version,
            a_test_links_with_the_test_kit_alone, a_shared_library_linked_with_tidemark_is_tested_with_the_kit,
            the_test_kit_links_as_an_archive, the_readmes_program_compiles_and_works_by_pkg_config, clang_takes_it_too,
            the_static_library_links, headers_are_cpp_too, cmake_finds_it,
            a_meson_project_takes_it_as_a_subproject_without_tools, it_can_be_configured_without_tools)
