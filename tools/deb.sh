#!/bin/sh
# Debian packages into build-deb/packages: libtidemark0, libtidemark-dev, tidemark-tools. What each depends on is
# asked of dpkg-shlibdeps.
set -eu
cd "$(dirname "$0")/.."
build=build-deb
arch=$(dpkg --print-architecture)
version=$(sed -n "s/^  version: '\(.*\)',/\1/p" meson.build)-1
triplet=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
maintainer=${DEBFULLNAME:-Tidemark maintainers}" <${DEBEMAIL:-maintainers@tidemark.invalid}>"

[ -f $build/build.ninja ] || meson setup $build --buildtype=release --prefix=/usr --libdir="lib/$triplet" \
    -Dtests=false -Dsamples=false >/dev/null
ninja -C $build --quiet
rm -rf "$build/stage" "$build/packages"
DESTDIR="$PWD/$build/stage/all" meson install -C $build --no-rebuild --quiet
mkdir -p $build/packages $build/stage/debian
# dpkg-shlibdeps wants a source package around it.
printf 'Source: tidemark\nMaintainer: %s\n\nPackage: tidemark-tools\nArchitecture: any\n' "$maintainer" >$build/stage/debian/control

move() { # package, paths below the root
    package=$1
    shift
    for path in "$@"; do
        mkdir -p "$build/stage/$package/$(dirname "$path")"
        # shellcheck disable=SC2086
        mv $build/stage/all/$path "$build/stage/$package/$(dirname "$path")/"
    done
}
needs() { # what the libraries and programs of a package are linked with, but for ours
    (cd $build/stage && find "$1" -type f -exec sh -c 'head -c4 "$1" | grep -q ELF && echo "$1"' _ {} \; |
        xargs dpkg-shlibdeps --ignore-missing-info -O -l"libtidemark0/usr/lib/$triplet" 2>/dev/null) |
        sed -n 's/^shlibs:Depends=//p' | tr ',' '\n' | sed 's/^ //' | grep -v '^libtidemark' | paste -sd, | sed 's/,/, /g'
}
pack() { # package, section, depends, short, long
    root=$build/stage/$1
    mkdir -p "$root/DEBIAN" "$root/usr/share/doc/$1"
    cp LICENSE "$root/usr/share/doc/$1/copyright"
    gzip -9n <CHANGELOG.md >"$root/usr/share/doc/$1/changelog.gz"
    {
        printf 'Package: %s\nSource: tidemark\nVersion: %s\nArchitecture: %s\nMaintainer: %s\n' "$1" "$version" "$arch" "$maintainer"
        printf 'Section: %s\nPriority: optional\nInstalled-Size: %s\n' "$2" "$(du -sk "$root/usr" | cut -f1)"
        [ -z "$3" ] || printf 'Depends: %s\n' "$3"
        printf 'Description: %s\n %s\n' "$4" "$5"
    } >"$root/DEBIAN/control"
    [ "$1" != libtidemark0 ] || {
        printf 'libtidemark 0 libtidemark0 (>= %s)\nlibtidemark-hub 0 libtidemark0 (>= %s)\n' "${version%-*}" "${version%-*}" >"$root/DEBIAN/shlibs"
        echo 'activate-noawait ldconfig' >"$root/DEBIAN/triggers"
    }
    find "$root" -type d -exec chmod 755 {} +
    dpkg-deb --root-owner-group --build "$root" "$build/packages/${1}_${version}_$arch.deb" >/dev/null
    echo "$build/packages/${1}_${version}_$arch.deb"
}

lib=usr/lib/$triplet
move libtidemark0 "$lib/libtidemark.so.*" "$lib/libtidemark-hub.so.*"
move libtidemark-dev usr/include "$lib/libtidemark*.so" "$lib/libtidemark-testkit.so.*" "$lib/libtidemark*.a" "$lib/pkgconfig" "$lib/cmake"
move tidemark-tools usr/bin usr/share
left=$(find $build/stage/all ! -type d)
[ -z "$left" ] || { echo "deb.sh: no package takes: $left" >&2; exit 1; }
strip --strip-unneeded $build/stage/libtidemark0/"$lib"/*.so.*.* $build/stage/libtidemark-dev/"$lib"/*.so.*.* $build/stage/tidemark-tools/usr/bin/*
ours="libtidemark0 (= $version)"
pack libtidemark0 libs "$(needs libtidemark0)" "Azure Event Hubs event processor for C" \
    "Hands the events of a hub to callbacks, at least once, in order, with checkpoints."
pack libtidemark-dev libdevel "$ours, libqpid-proton11-dev, libcurl4-openssl-dev, libjansson-dev, libssl-dev, libexpat1-dev" \
    "Azure Event Hubs event processor for C, to build with" "Headers, archives, pkg-config and CMake files, and the test kit."
pack tidemark-tools utils "$(needs tidemark-tools), $ours" "command line and local hub of Tidemark" \
    "tidemark sends, consumes, looks and mends; tidemark-hub is an Event Hubs compatible server for tests."
