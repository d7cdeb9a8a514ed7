#!/bin/sh
# Installs the packages that building and testing need, on Debian 12; says what it does.
set -eu
packages="gcc g++ meson ninja-build pkg-config python3 libqpid-proton11-dev libcurl4-openssl-dev
 libjansson-dev libssl-dev libexpat1-dev libmicrohttpd-dev libcmocka-dev libsqlite3-dev"
missing=""
for p in $packages; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)" = installed ] || missing="$missing $p"
done
[ -z "$missing" ] && exit 0
sudo=""
[ "$(id -u)" = 0 ] || sudo=sudo
echo "installing:$missing"
$sudo apt-get update -qq
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
