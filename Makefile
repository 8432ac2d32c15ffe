# Two commands do everything on a fresh machine: `make demo` and `make test`. Both make `.venv` themselves.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo smoke screenshots bench test checks pytest test-slow lint types contracts format lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

.venv/.python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv .venv
	@touch $@

# torch first and alone: asked for by an exact version, pip takes the small build where the machine offers one
.venv/.torch: .venv/.python constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt "torch==2.13.0"
	@touch $@

.venv/.demo: .venv/.torch pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[demo]"
	@touch $@

.venv/.dev: .venv/.torch pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[pipeline,quant,runpod,serve,dev]"
	@touch $@

.venv/.model: .venv/.demo
	$(BIN)/python -m pipeline fetch --recipe demo
	@touch $@

demo: .venv/.model ## the main job, for real, on the embedded local pod (ARGS=--plain for lines instead of the panel)
	$(BIN)/maxcai demo $(ARGS)

smoke: .venv/.dev ## all six stages on the tiny base that comes along, every gate for real (minutes)
	$(BIN)/python -m pipeline run --recipe smoke $(ARGS)

screenshots: .venv/.dev ## docs/images from a recorded run (RUN=its id or directory; default: the newest here)
	$(BIN)/python -m app.tui.gallery $(RUN)

test: .venv/.dev ## everything that must be green (the checks run beside the tests, which wait a good deal)
	@$(MAKE) --no-print-directory -j2 checks pytest

checks: lint types contracts

pytest: .venv/.dev
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -m "not slow" -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

test-slow: .venv/.dev ## the minutes-long tests as well
	$(BIN)/python -m pytest $(ARGS)

bench: .venv/.dev .venv/.model ## measure generation and training beside what others offer, and write docs/performance.md (long)
	for name in generation training starts conversion; do test ! -f benchmarks/$$name.py || $(BIN)/python -m benchmarks.$$name || exit 1; done
	$(BIN)/python -m benchmarks.table

lint: .venv/.dev ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.dev ## mypy --strict
	$(BIN)/mypy

contracts: .venv/.dev ## who may import whom
	$(BIN)/lint-imports

format: .venv/.dev ## let ruff rewrite the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the environment and the embedded pod of this checkout (never runs/)
	rm -rf .venv .maxcai

lock: .venv/.dev .venv/.demo ## write constraints.txt from what is installed
	(head -1 constraints.txt; $(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//') > constraints.new && mv constraints.new constraints.txt
