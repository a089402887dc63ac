# shardctl: `make demo` tells the whole story on real servers, `make test` checks everything.
# Both need Rust, git and make, and install what else is missing.

CARGO_TARGET_DIR ?= target

.DEFAULT_GOAL := help
.PHONY: help demo test tpch chaos bench lint setup build-tools mariadb mysql mydumper bench-tools

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build-tools mariadb ## Plan, create, fill, query and rebalance on real servers (ARGS="--keep")
	cargo build --release --locked
	$(CARGO_TARGET_DIR)/release/shardctl demo $(ARGS)

test: setup lint ## Run all checks and tests on MariaDB and MySQL
	cargo test --locked

tpch: setup ## Answer the 22 queries of TPC-H at scale factor 0.1 on sixteen shards and on one server
	SHARDCTL_TPCH_SCALE=0.1 cargo test --locked --release --test tpch -- --nocapture --test-threads=1

chaos: setup ## Kill everything while schemas move (KILLS=500 ENGINE=mysql SEED=7)
	cargo build --release --locked
	for engine in $(or $(ENGINE),mariadb mysql); do \
	  cargo test --locked --test chaos -- run --engine $$engine --kills $(or $(KILLS),500) \
	    $(if $(SEED),--seed $(SEED)) --tool $(CARGO_TARGET_DIR)/release/shardctl || exit 1; \
	done

bench: setup mydumper bench-tools ## Measure side by side with what a user would otherwise take
	cargo bench --locked

lint: build-tools ## Check formatting, lints and documentation
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --locked --no-deps

setup: build-tools mariadb mysql ## Install what is missing for the tests

build-tools: # A C compiler, rustfmt, clippy
	@scripts/install-build-tools.sh

mydumper: # What copies are measured beside
	@scripts/install-mydumper.sh

mariadb: # A server, where there is none
	@scripts/install-mariadb.sh

mysql: # A private copy of Oracle MySQL in the cache folder
	@scripts/install-mysql.sh

bench-tools: # Spider and mariadb-dump in the cache folder, for the benchmarks
	@scripts/install-bench-tools.sh
