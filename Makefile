# The front door. Bare `make` prints the list. Everything is made in .venv, by uv, at the versions of constraints.txt.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt
REFERENCE := .venv-ref
QUIX := .venv-quix

# A python from 3.11 on: yours first (make PYTHON=...), then the usual names.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

# The longest of all first, then fast ones; kills, freezes and rebalances last, and of them the short ones at the end, so that
# all processes end at about the same time.
LONGEST := tests/functional/faults/test_soak.py tests/functional/contracts/test_faults.py
LATE := tests/functional/faults tests/integration tests/functional/contracts
TESTS := $(LONGEST) $(wildcard tests/test_*.py) tests/typing tests/unit tests/fuzz tests/differential $(wildcard tests/functional/test_*.py) \
	$(filter-out $(LATE) %__pycache__,$(patsubst %/,%,$(wildcard tests/functional/*/))) tests/seeds \
	tests/functional/faults/test_standby_chaos.py tests/integration/interop $(LATE)

# Tests wait more than they compute: more processes than two cores need. Each has a Kafka of its own, so nobody's broker is
# paused by somebody else's test; loadgroup hands the tests out one by one. A process that crashes ends the run: xdist, with
# loadgroup, waits for ever for the tests it would have run.
PROCESSES ?= 3

.PHONY: help demo test check lint types layers unit bench bench-short kafka docs configref site format constraints clean

help: ## print this list
	@echo "faust: make TARGET, where TARGET is one of"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.runtime ## count the words of a real text in a scratch directory: about ten seconds
	@$(BIN)/python examples/demo.py

test: check $(REFERENCE)/.ready ## lint, types, layers, then every test, also on a real Kafka (Java, Maven)
	@$(BIN)/pytest --numprocesses $(PROCESSES) --dist loadgroup --max-worker-restart 0 $(TESTS)

check: lint types layers ## what needs no running: lint, types, layers

lint: $(VENV)/.all ## ruff and codespell
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/codespell

types: $(VENV)/.all ## mypy --strict over src and tests
	@$(BIN)/mypy --strict src tests

layers: $(VENV)/.all ## who may import whom
	@$(BIN)/lint-imports

unit: $(VENV)/.all ## the quick tests alone
	@$(BIN)/pytest $(wildcard tests/test_*.py) tests/unit

bench: $(VENV)/.all $(REFERENCE)/.ready $(QUIX)/.ready ## compare with others on a real Kafka: half an hour
	@$(BIN)/python -m benchmarks.compare all
	@$(BIN)/python -m benchmarks.bench_exactly_once

bench-short: $(VENV)/.all $(REFERENCE)/.ready $(QUIX)/.ready ## the same in a few minutes, once each
	@$(BIN)/python -m benchmarks.compare all --short
	@$(BIN)/python -m benchmarks.bench_exactly_once --rounds 1 --smaller 4

kafka: $(VENV)/.all ## run a real Kafka for the hand, until Ctrl-C
	@$(BIN)/python -m tests.support.kafka

docs: configref ## write the pages that grow out of the code
	@$(BIN)/python scripts/file_map.py
	@$(BIN)/python scripts/state_pictures.py

configref: $(VENV)/.all ## write the reference of the settings
	@$(BIN)/python scripts/settings_reference.py

site: $(VENV)/.all ## build the documentation into build/site; a warning is an error
	@$(BIN)/sphinx-build -q -W --keep-going -b html docs build/site
	@echo "build/site/index.html"

format: $(VENV)/.all ## let ruff format, and mend what it can
	@$(BIN)/ruff check --fix-only
	@$(BIN)/ruff format

constraints: $(VENV)/.uv ## take newer versions into constraints.txt
	@echo uv | $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras \
		--group dev --group bench --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		--output-file constraints.txt pyproject.toml -
	@sed -i 's/ ;.*//' constraints.txt

clean: ## remove what make has made
	@rm -rf $(VENV) $(REFERENCE) $(QUIX) .kafka .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist

# -- what the targets stand on; a stamp file says when each was made

$(VENV)/.uv:
	@test -n "$(PYTHON)" || { echo "faust needs Python 3.11 or newer: none found; say make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { echo "python cannot make virtual environments (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	@touch $@

$(VENV)/.runtime: $(VENV)/.uv pyproject.toml constraints.txt
	@$(UV) --editable .
	@touch $@

$(VENV)/.all: $(VENV)/.uv pyproject.toml constraints.txt
	@$(UV) --editable . --group dev --group bench
	@touch $@ $(VENV)/.runtime

$(REFERENCE)/.ready: $(VENV)/.uv
	@echo "making $(REFERENCE) with faust-streaming 0.15.3"
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(REFERENCE)
	@$(BIN)/uv pip install --quiet --python $(REFERENCE)/bin/python faust-streaming==0.15.3 rocksdict==0.3.29
	@touch $@

$(QUIX)/.ready: $(VENV)/.uv
	@echo "making $(QUIX) with quixstreams 3.28.0"
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(QUIX)
	@$(BIN)/uv pip install --quiet --python $(QUIX)/bin/python quixstreams==3.28.0
	@touch $@
