#!/usr/bin/env bash
# Every test, from the pure rules up to the black-box suites against a real cluster and a real gateway.
# Builds what they run first. Goes on after a failure, so that one run shows all of them, and then ends non-zero.
#
#   scripts/test.sh         every test. Those that ask the official libraries of Standard Webhooks and CloudEvents are
#                           left out, and the end says so, where python3 or npm is missing
#   scripts/test.sh peers   these alone; ends non-zero where they cannot be run
#
# The suites find their surroundings by environment: NEXUS_BIN_DIR (the built `nexus` and `nexus-demo`),
# NEXUS_FIXTURES (real payloads of platforms), NEXUS_PEERS (official libraries), scripts/cluster.sh for clusters of their own.
set -euo pipefail
# shellcheck source=scripts/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/environment.sh"

"$CHECKOUT/scripts/setup.sh" pgbouncer
peers=()
if "$CHECKOUT/scripts/peers.sh"; then
    export NEXUS_PEERS=$NEXUS_HOME/peers
    peers=(--include-ignored)
elif [[ ${1-} == peers ]]; then
    exit 1
else
    trap 'say "LEFT OUT: the tests that ask the official libraries (see the error at the beginning); make test-peers"' EXIT
fi
use_postgres
"$CHECKOUT/scripts/build.sh"

export NEXUS_BIN_DIR=$CARGO_TARGET_DIR/release
export NEXUS_FIXTURES=${NEXUS_FIXTURES:-$(realpath -m -- "$CHECKOUT/../shared/fixtures")}
cd -- "$CHECKOUT"
if [[ ${1-} == peers ]]; then
    exec cargo test --release -p nexus-tests -- --ignored peers::
fi
# All in one command: by itself, a package may ask for fewer features of a dependency, which is then compiled
# once more.
cargo test --release --no-fail-fast -p nexus-core -p nexus-jsonb -p nexus-gateway -p nexus-demo -p nexus-tests -p nexus-bench -- "${peers[@]}"
