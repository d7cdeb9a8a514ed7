#!/bin/sh
# Installs what building (build), the demo on blobs (azurite), testing (test) or checking (check)
# needs and is not there yet:
# Debian's packages by apt-get, JavaScript packages by npm. Prints what it does.
set -eu
cd "$(dirname "$0")/.."
want=${1:-test}

packages="gcc g++ libc6-dev meson ninja-build pkg-config python3 ca-certificates libqpid-proton11-dev
 libcurl4-openssl-dev libjansson-dev libssl-dev libexpat1-dev libmicrohttpd-dev libcmocka-dev
 libsqlite3-dev"
case "$want" in
azurite) packages="$packages npm" ;;
docs) packages="doxygen" ;;
test) packages="$packages cmake dpkg-dev npm openssl procps python3-yaml chromium clang-14 libclang-rt-14-dev llvm-14" ;;
check) packages="$packages cmake dpkg-dev npm openssl procps python3-yaml chromium clang-14 clang llvm-14 clang-tidy clang-format doxygen libclang-rt-14-dev cppcheck valgrind musl-tools" ;;
esac
if [ "$want" = bench ]; then packages="$packages npm openssl procps python3-yaml valgrind"; fi

missing=""
for p in $packages; do
    case "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)" in
    installed) ;;
    *)
        # npm also comes with other builds of Node.js
        if [ "$p" = npm ] && command -v npm >/dev/null; then continue; fi
        missing="$missing $p"
        ;;
    esac
done
if [ -n "$missing" ]; then
    sudo=""
    if [ "$(id -u)" != 0 ]; then sudo="sudo"; fi
    echo "installing packages:$missing"
    $sudo apt-get update -qq
    # shellcheck disable=SC2086
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
case "$want" in build | docs) exit 0 ;; esac

# The official SDK and Azurite want a newer Node.js than Debian 12 has; npm carries one.
node_major() { node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0; }
if [ "$(node_major)" -lt 20 ]; then
    case "$(uname -m)" in
    x86_64) arch=x64 ;;
    aarch64) arch=arm64 ;;
    *) arch=$(uname -m) ;;
    esac
    if [ ! -x .deps/bin/node ]; then
        echo "installing Node.js 22 into .deps/"
        mkdir -p .deps/bin
        npm install --loglevel=error --no-save --no-package-lock --prefix .deps "node-linux-$arch@22.23.3"
        ln -sf "../node_modules/node-linux-$arch/bin/node" .deps/bin/node
    fi
fi
if [ -f tests/interop/package-lock.json ]; then
    if ! cmp -s tests/interop/package-lock.json tests/interop/node_modules/.installed; then
        echo "installing the official JavaScript SDK and Azurite into tests/interop/node_modules/"
        (cd tests/interop && npm ci --loglevel=error --no-audit --no-fund)
        cp tests/interop/package-lock.json tests/interop/node_modules/.installed
    fi
fi
