#!/usr/bin/env bash
# Benches: each prints a table and writes $NEXUS_HOME/bench/<name>.json. Figures are ratios against something measured
# in the same run; a machine that does something else meanwhile tells less.
#
#   scripts/bench.sh                  all of them
#   scripts/bench.sh normalize rls    some: normalize, rls, views, ingest-sql (which also tells of the wal), ingest-one,
#                                     ingest-http, doorbell, dispatch (needs node and npm), latency, fairness,
#                                     flood, held-snapshot, growth
#
# BENCH_SECONDS: how long each measures. NEXUS_FIXTURES: real payloads of platforms; else the connectors' cases.
# For lesser runs: BENCH_ORDERS for rls and views, BENCH_DELIVERIES for held-snapshot, BENCH_EVENTS for growth.
set -euo pipefail
# shellcheck source=scripts/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/environment.sh"

readonly ALL=(normalize rls views ingest-sql ingest-one ingest-http doorbell dispatch latency fairness flood held-snapshot growth)

main() {
    export NEXUS_FIXTURES=${NEXUS_FIXTURES:-$(realpath -m -- "$CHECKOUT/../shared/fixtures")}
    cd -- "$CHECKOUT"
    local name is_built=''
    for name in "${@:-${ALL[@]}}"; do
        case $name in
        normalize) run normalize ;;
        rls | views) with_extension; run "$name" ;;
        ingest-sql | ingest-one | ingest-http | growth) with_extension; run ingest "$name" ;;
        doorbell | dispatch | latency | fairness | flood | held-snapshot) with_extension; run delivery "$name" ;;
        wal) with_extension; run ingest ingest-sql ;;
        *) die "there is no bench '$name'; see the top of $0" ;;
        esac
    done
}

# Clusters of their own, but the extension as it is now.
with_extension() {
    [[ -z $is_built ]] || return 0
    "$CHECKOUT/scripts/setup.sh"
    use_postgres
    "$CHECKOUT/scripts/build.sh"
    is_built=yes
}

# As many open files as may be: flood opens thousands of connections.
run() { ulimit -n "$(ulimit -Hn)"; cargo bench -p nexus-bench --bench "$1" -- --quiet "${@:2}"; }

main "$@"
