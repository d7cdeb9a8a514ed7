#!/bin/sh
# Runs one test of the official JavaScript SDK: run_js.sh FILE HUB_PROGRAM [TIDEMARK SEND_KINDS].
# TAP on standard output.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
PATH="$here/../../.deps/bin:$PATH"
TIDEMARK_HUB=$(realpath "$2")
export TIDEMARK_HUB
if [ $# -gt 2 ]; then
    TIDEMARK=$(realpath "$3") TIDEMARK_KINDS=$(realpath "$4")
    export TIDEMARK TIDEMARK_KINDS
fi
if ! command -v node >/dev/null; then
    echo "1..0 # SKIP there is no node; './run setup' installs it"
    exit 0
fi
if [ ! -d "$here/node_modules/@azure/event-hubs" ]; then
    (cd "$here" && npm ci --silent --no-audit --no-fund) >&2
fi
cd "$here"
# The SDK may keep a timer of a connection that a fault has killed.
exec node --test --test-force-exit --test-reporter=./tap_flat.mjs "$1"
