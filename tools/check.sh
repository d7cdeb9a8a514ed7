#!/bin/sh
# What a change must pass before it lands: format, layers, two compilers, static analysis, the tests
# under the sanitizers. --quick leaves out what takes minutes; --coverage instead measures what the tests run.
set -u
cd "$(dirname "$0")/.."
if [ "${1:-}" = --coverage ]; then
    shift
    exec python3 tools/coverage.py "$@"
fi
quick=no
[ "${1:-}" = --quick ] && quick=yes
failed=""

step() {
    name=$1
    shift
    printf '== %s\n' "$name"
    "$@" || failed="$failed
  $name"
}

sources() { git ls-files '*.c' '*.h'; }

format() {
    # shellcheck disable=SC2046
    clang-format --dry-run -Werror $(sources)
}
build_in() { # folder, compiler, meson options ...
    dir=$1 compiler=$2
    shift 2
    [ -f "$dir/build.ninja" ] || CC=$compiler meson setup "$dir" "$@" >"$dir.log" 2>&1 || { cat "$dir.log"; return 1; }
    ninja -C "$dir" --quiet
}
tests_in() { # folder, suites ...
    dir=$1
    shift
    meson test -C "$dir" --print-errorlogs --quiet "$@"
}
asan() {
    build_in build-asan gcc -Dwerror=true -Db_sanitize=address,undefined &&
        ASAN_OPTIONS=abort_on_error=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
            tests_in build-asan --no-suite long --no-suite sim --no-suite interop --no-suite bench -t 5
}
tsan() {
    build_in build-tsan gcc -Dwerror=true -Db_sanitize=thread &&
        tests_in build-tsan --no-suite long --no-suite sim --no-suite interop --no-suite bench -t 10
}
static() {
    # varFuncNullUB: POSIX has NULL be a null pointer of type void *.
    cppcheck --quiet --error-exitcode=1 --enable=warning,portability --inline-suppr --std=c11 \
        --suppress=missingInclude --suppress=normalCheckLevelMaxBranches --suppress=varFuncNullUB -I include -I lib -I processor \
        lib checkpoint processor tools
}
clang_tidy() {
    checks="-*,bugprone-*,-bugprone-easily-swappable-parameters,-bugprone-narrowing-conversions"
    checks="$checks,-bugprone-reserved-identifier,-bugprone-sizeof-expression"
    checks="$checks,-bugprone-assignment-in-if-condition,clang-analyzer-*,-clang-analyzer-valist.Uninitialized"
    checks="$checks,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling"
    git ls-files 'lib/*.c' 'checkpoint/*.c' 'processor/*.c' |
        xargs -P "$(nproc)" -n 4 clang-tidy -p build-clang --quiet --warnings-as-errors='*' --checks="$checks" 2>/dev/null
}
reference() {
    mkdir -p build/docs && doxygen docs/Doxyfile
}
analyzer() {
    # Leaks are the address sanitizer's: gcc 12 takes what is stored in a growing array for lost.
    build_in build-analyzer gcc -Dwerror=true "-Dc_args=-fanalyzer -Wno-analyzer-malloc-leak" -Dtests=false -Dsamples=false
}

step "format" format
step "layers, names, headers" python3 tools/tidy.py --headers
step "the reference of the headers" reference
step "gcc, warnings as errors" build_in build gcc -Dwerror=true
step "clang, warnings as errors" build_in build-clang clang -Dwerror=true
step "binary interface" python3 tools/abi.py build
step "unit tests" tests_in build --suite unit
if [ "$quick" = no ]; then
    step "instructions of the hot paths" python3 tools/counts.py
    step "musl takes every source" python3 tools/musl.py build
    step "cppcheck" static
    step "clang-tidy" clang_tidy
    step "gcc -fanalyzer" analyzer
    step "address and undefined behaviour sanitizers" asan
    step "thread sanitizer" tsan
fi
if [ -n "$failed" ]; then
    printf '== failed:%s\n' "$failed"
    exit 1
fi
echo "== all checks passed"
