# Everything the two commands need is installed here: `make run` and `make test` work on a fresh machine
# that has Python 3.11, make and a C++ compiler (one dependency, pdqhash, ships as source).
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/python -m pytest
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup system programs run up kafka test lint types unit bench scale eval chaos fuzz generate lock clean

help: ## Show this help
	@echo "Veristream: review of uploads and livestreams on Kafka"
	@echo
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'
	@echo
	@echo "First time?  make run               watch real clips go through the whole pipeline"
	@echo "             make run ARGS=--once   the same twelve cases as one table; exit code 0 if all are as expected"

setup: $(READY) ## Create .venv and install exactly what requirements.lock names

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 was not found: install it, or say PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "$(PYTHON) is not Python 3.11: say PYTHON=/path/to/python3.11"; exit 1; }
	@command -v c++ >/dev/null || command -v g++ >/dev/null || { echo "A C++ compiler is needed to build pdqhash: install g++ or clang (Debian: apt-get install g++)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing what requirements.lock names into $(VENV)"
	@grep -A1 '^uv==' requirements.lock | head -1 | sed 's/ .*//' > $(VENV)/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(VENV)/uv.txt
	@# Compiled here: a confined decoding process may write nothing, and would compile its libraries at every start.
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip sync --quiet --require-hashes --compile-bytecode requirements.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

system: ## Install what no Python package brings (Java, Maven, kcat, …) by apt-get, as root or with sudo
	@sh deploy/system.sh

programs: setup
	@sh deploy/system.sh --unasked
	@$(BIN)/veristream kafka fetch || echo "going on without: the tests that need it are skipped, and named at the end"

run: setup ## Broker, topics, pipeline and real clips in one terminal (ARGS=--once: the scenario as a table)
	@$(BIN)/veristream demo $(ARGS)

up: setup ## Broker, topics and pipeline, waiting for your own events
	@$(BIN)/veristream up $(ARGS)

kafka: setup ## A real Apache Kafka with three brokers, in the foreground (ARGS=--secure; needs Java and Maven)
	@$(BIN)/veristream kafka up $(ARGS)

test: setup programs lint types unit ## ruff, mypy and every test, the end-to-end ones included

lint: setup ## ruff: style and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: setup ## mypy, strict on the wire types and the judges
	@$(BIN)/mypy

unit: setup ## pytest (ARGS="-k name" for a part)
	@$(if $(strip $(ARGS)),$(PYTEST) $(ARGS),$(PYTEST) -n 2 --dist loadfile --ignore=tests/e2e && $(PYTEST) -n 2 --dist loadfile tests/e2e)

bench: setup ## Speed against the plain libraries: build/bench.json
	@$(BIN)/python -m tests.bench $(ARGS)

scale: setup ## What 10^8 uploads and 10^5 livestreams a day ask for, and their queues simulated (ARGS=--help)
	@$(BIN)/python -m deploy.scale.simulate $(ARGS)

eval: setup ## Quality of detection with counts: build/eval.json
	@$(BIN)/python -m tests.evaluation $(ARGS)

chaos: setup ## Faults against three Kafka brokers and their workers: build/chaos.json (ARGS="--only 5")
	@$(BIN)/python -m tests.chaos $(ARGS)

fuzz: setup ## Damaged and hostile media through the confined pool: build/fuzz.json (ARGS="--files 200 --seed 7")
	@$(BIN)/python -m tests.fuzz $(ARGS)

generate: setup ## Write again what is made from the code: JSON Schemas, README tables
	@$(BIN)/python -m schemas.generate

lock: ## Resolve pyproject.toml into requirements.lock again
	@$(BIN)/uv pip compile --quiet --python-version 3.11 --all-extras --generate-hashes --no-header --upgrade -o requirements.lock pyproject.toml

clean: ## Remove .venv, caches and build results
	@rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
