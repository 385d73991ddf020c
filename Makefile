# One environment for everything; it is made once and made again when its inputs change.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
AUDIT := build/audit
ENVIRONMENT := $(VENV)/.installed

.PHONY: help demo up test test-cluster lint wheel audit format bench docs setup-browser clean-demo
.DEFAULT_GOAL := help

help: ## What there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

$(ENVIRONMENT): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,export,heif,openvino,postgres,storage,tracking]'
	touch $@

demo: $(ENVIRONMENT) ## The whole path on pictures that the project draws and serves itself
	$(BIN)/collect-and-train demo

up: $(ENVIRONMENT) ## Prefect's server, pool, deployments and worker on this machine, until Ctrl-C
	$(BIN)/collect-and-train up

clean-demo: ## Forget the demo's workspace
	rm -rf data/demo

lint: $(ENVIRONMENT) ## Style, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile

# The auditing tool has an environment of its own, so that .venv holds what constraints.txt pins and nothing else.
# Without --strict it skips each package that it cannot look up, and ends with "No known vulnerabilities found".
audit: $(AUDIT)/bin/pip-audit ## Every version in constraints.txt against the known advisories; needs the package index
	$(AUDIT)/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

$(AUDIT)/bin/pip-audit:
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet 'pip-audit>=2.10'

format: $(ENVIRONMENT) ## Put the style right
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: lint ## Everything that must hold: lint, then the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

test-cluster: $(VENV)/.cluster ## The tests of several machines: Ray, PostgreSQL, S3; what is not installed is skipped, and says so
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m cluster --numprocesses auto --dist loadfile --no-loadscope-reorder

$(VENV)/.cluster: $(ENVIRONMENT)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[cluster,dask]'
	touch $@

test-wheel: $(ENVIRONMENT) ## The wheel, built and used in an environment without a checkout
	$(BIN)/python -m pytest -m wheel tests/test_wheel.py

wheel: $(ENVIRONMENT) ## The wheel, in build/
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir build .

docs: $(VENV)/.docs ## The documentation as a site in build/site; a warning or a dead link is an error
	$(BIN)/python -m docs.site.stage
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(VENV)/.docs: $(ENVIRONMENT)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

setup-browser: $(ENVIRONMENT) ## A Chromium for the browser tests, where the system has none
	.ci/setup-browser $(BIN)/python

bench: $(ENVIRONMENT) ## The figures of docs/benchmarks.md, measured on this machine
	$(BIN)/python -m benchmarks.accuracy
