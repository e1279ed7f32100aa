#!/usr/bin/env bash
# What must hold of the code without running it: format, lints, the dependency rule, shell scripts.
set -euo pipefail
# shellcheck source=scripts/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/environment.sh"

"$CHECKOUT/scripts/setup.sh" shellcheck
use_postgres
cd -- "$CHECKOUT"

for tool in fmt clippy; do
    cargo "$tool" --version >/dev/null 2>&1 || die "rustfmt and clippy are needed: rustup component add rustfmt clippy"
done
cargo fmt --all --check
# Release, so that build scripts and macros are shared with the builds of `make test`. The extension by itself,
# because its features follow the PostgreSQL that is installed.
cargo clippy --release --all-targets --workspace --exclude nexus -- -D warnings
cargo clippy --release --all-targets -p nexus --no-default-features --features "pg$PG_MAJOR" -- -D warnings
scripts/check-core-dependencies.sh
shellcheck --external-sources --source-path="$CHECKOUT" scripts/*.sh .ci/run
