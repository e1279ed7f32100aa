#!/usr/bin/env bash
# Benches: each prints a table and writes $NEXUS_HOME/bench/<name>.json. Figures are ratios against something measured
# in the same run; a machine that does something else meanwhile tells less.
#
#   scripts/bench.sh              all of them
#   scripts/bench.sh normalize    one
#
# BENCH_SECONDS: how long each measures. NEXUS_FIXTURES: real payloads of platforms; else the connectors' cases.
set -euo pipefail
# shellcheck source=scripts/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/environment.sh"

readonly ALL=(normalize)

export NEXUS_FIXTURES=${NEXUS_FIXTURES:-$(realpath -m -- "$CHECKOUT/../shared/fixtures")}
cd -- "$CHECKOUT"
for name in "${@:-${ALL[@]}}"; do
    case $name in
    normalize) cargo bench -p nexus-bench --bench "$name" -- --quiet ;;
    *) die "there is no bench '$name'; see the top of $0" ;;
    esac
done
