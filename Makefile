# The commands of this repository. What they do is in scripts/, each of which explains itself at its top.
# NEXUS_PORT, NEXUS_PG_CONFIG, NEXUS_HOME and CARGO_TARGET_DIR are respected.

.DEFAULT_GOAL := help
.PHONY: help run up down test test-long test-peers lint bench build install clean-local

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Set up what is missing, build, start, play the demo, serve until Ctrl-C
	@scripts/local.sh run

up: ## The same in the background; writes .nexus/demo.json
	@scripts/local.sh up

down: ## Stop what `make up` started
	@scripts/local.sh down

test: ## Set up what is missing, build, run every test
	@scripts/test.sh

test-long: ## The same, with 500 histories in random order where `test` tries 12, and 200 kills where it does 10
	@NEXUS_PERMUTATIONS=500 NEXUS_KILLS=200 scripts/test.sh

test-peers: ## Have the official libraries of Python and Node verify our deliveries; needs python3 and npm
	@scripts/test.sh peers

lint: ## Format, clippy, dependency rule, shellcheck
	@scripts/lint.sh

bench: ## Measure, against references of the same run; `make bench-<name>` for one; BENCH_SECONDS
	@scripts/bench.sh

bench-normalize: ## Mapping the platforms' payloads, against only parsing them
bench-rls: ## Analysts' queries as a bound login, against the same without row-level security
bench-views: ## The views of docs/sql.md at a million orders, against reading all of a tenant's
bench-ingest-sql: ## Batches of webhooks through nexus.ingest_batch, against inserting the same rows
bench-ingest-one: ## The same, one webhook a transaction
bench-ingest-http: ## The same, posted to a gateway, against inserting one a transaction
bench-wal: ## The WAL of a webhook, against its body
bench-doorbell: ## Webhooks/s while a dispatcher listens, against without NOTIFY
bench-dispatch: ## Deliveries/s, against graphile-worker and pg-boss (needs node and npm)
bench-latency: ## From the 202 to the delivery at half load, against 5 ms and 25 ms
bench-fairness: ## Deliveries of a tenant beside a slow one with 100,000 jobs, against alone
bench-flood: ## Memory of a gateway that is sent more than its database takes, against its limits
bench-held-snapshot: ## Deliveries/s under an open snapshot, against without
bench-growth: ## Taking in and claiming at 5 million events, against at none

bench-%:
	@scripts/bench.sh $*

build: ## Build the gateway, the demo and the extension (into the private PostgreSQL tree)
	@scripts/setup.sh
	@scripts/build.sh

install: ## Install the extension into this machine's own PostgreSQL
	@scripts/setup.sh
	@scripts/build.sh system

clean-local: ## Stop Nexus and remove its private cluster, keys and logs
	@scripts/local.sh clean
