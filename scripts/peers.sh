#!/usr/bin/env bash
# Installs the official libraries that verify our deliveries in tests/suites/peers.rs, in the versions that tests/peers
# pins, into $NEXUS_HOME/peers. Says what is missing and ends non-zero where that cannot be done: they need python3 with
# venv, and npm. Idempotent.
set -euo pipefail
# shellcheck source=scripts/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/environment.sh"

readonly WANTED=$CHECKOUT/tests/peers PEERS=$NEXUS_HOME/peers LOG=$NEXUS_HOME/log/peers.log

command -v python3 >/dev/null || die "python3 is not installed (Debian: apt-get install python3 python3-venv)"
python3 -c 'import ensurepip, venv' 2>/dev/null || die "python3 has no venv (Debian: apt-get install python3-venv)"
command -v node >/dev/null || die "node is not installed (Debian: apt-get install nodejs npm)"
command -v npm >/dev/null || die "npm is not installed (Debian: apt-get install npm)"

mkdir -p -- "$PEERS/node" "${LOG%/*}"

failed() {
    tail -n 5 -- "$LOG" >&2
    die "$1 could not be installed; all of the output is in $LOG"
}

# What was installed last is kept beside it, and written only when all went well.
if ! cmp -s -- "$WANTED/requirements.txt" "$PEERS/python/requirements.txt"; then
    say "Installing the official libraries for Python (once)"
    rm -rf -- "$PEERS/python"
    {
        python3 -m venv "$PEERS/python" &&
            "$PEERS/python/bin/pip" install --quiet --disable-pip-version-check -r "$WANTED/requirements.txt"
    } >"$LOG" 2>&1 || failed "the libraries for Python"
    cp -- "$WANTED/requirements.txt" "$PEERS/python/"
fi
if ! cmp -s -- "$WANTED/package.json" "$PEERS/node/installed.json"; then
    say "Installing the official libraries for Node (once)"
    cp -- "$WANTED/package.json" "$PEERS/node/"
    (cd -- "$PEERS/node" && npm install --no-package-lock --no-audit --no-fund) >"$LOG" 2>&1 ||
        failed "the libraries for Node"
    cp -- "$WANTED/package.json" "$PEERS/node/installed.json"
fi
