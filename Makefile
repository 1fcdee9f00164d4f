# `make run` and `make test` are all that a newcomer needs; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check install -q
SHELL := /bin/bash
.DEFAULT_GOAL := help

.PHONY: help
help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-22s %s\n", $$1, $$2}'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Heartbeat needs Python 3.11 or newer; name one with: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: deploy/requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing what Heartbeat needs (once, about a minute) …"
	@$(PIP) --require-hashes -r deploy/requirements.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: deploy/requirements-dev.lock $(VENV)/.run
	@echo "Installing what the tests need …"
	@$(PIP) --require-hashes -r deploy/requirements-dev.lock
	@touch $@

.PHONY: install
install: $(VENV)/.run ## make .venv and install from the lock

.PHONY: run
run: $(VENV)/.run ## start Heartbeat and print the page's address
	@exec $(BIN)/heartbeat worker

.PHONY: lint
lint: $(VENV)/.dev ## style, types and import rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: test
test: lint ## lint, types, import rules and all tests but the long runs
	@$(BIN)/pytest -m "not long"

.PHONY: test-full
test-full: lint ## everything, the long runs with kill -9 included
	@$(BIN)/pytest

.PHONY: bench
bench: $(VENV)/.dev ## posts a second through the whole pipeline, beside plain Faust agents
	@$(BIN)/python -m benchmarks.pipeline

.PHONY: train-language
train-language: $(VENV)/.dev ## train the language model (data: HEARTBEAT_TRAINING_DATA)
	@$(BIN)/python -m heartbeat.training.language $(ARGS)

.PHONY: train-sentiment-fast
train-sentiment-fast: $(VENV)/.dev ## train the n-gram sentiment model
	@$(BIN)/python -m heartbeat.training.sentiment_fast $(ARGS)

.PHONY: lock
lock: $(VENV)/.dev ## resolve the dependencies again into deploy/*.lock
	@$(PIP) uv
	@$(BIN)/uv pip compile -q --upgrade --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
	    --python-version 3.11 pyproject.toml -o deploy/requirements.lock
	@$(BIN)/uv pip compile -q --upgrade --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
	    --python-version 3.11 --extra dev pyproject.toml -o deploy/requirements-dev.lock

.PHONY: clean
clean: ## remove .venv and caches (never your data)
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info

.PHONY: smoke
smoke: $(VENV)/.run ## `make run` as a newcomer would: start, see a post counted, stop
	@$(BIN)/python deploy/smoke.py
