#!/usr/bin/env bash
# The rule that keeps the rules testable: core/ knows neither PostgreSQL nor HTTP nor tokio (ARCHITECTURE.md).
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

# Without development dependencies: tests may use what they like.
tree=$(cargo tree -p nexus-core --edges normal,build --prefix none --format '{p}')
forbidden=$(cut -d' ' -f1 <<<"$tree" |
    grep -Ex '(pgrx|tokio|hyper|postgres|axum|reqwest|deadpool|tower)([-_].*)?' | sort -u || true)
if [[ -n $forbidden ]]; then
    echo "error: nexus-core must not depend on: ${forbidden//$'\n'/, } (cargo tree -p nexus-core --invert NAME shows why it does)" >&2
    exit 1
fi
